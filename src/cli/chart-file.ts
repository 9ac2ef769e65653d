/** The chart that this program carries. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getRawAsset, isSea } from "node:sea";

import { CommandError } from "./errors.ts";

/** Name of the archive: beside the program, or within the executable file. */
export const chartArchive = "nginx-mesh-chart.tgz";

/** Gives a path of the chart's archive to `use`. Throws CommandError when the program was not built with it. */
export async function withChart<T>(use: (path: string) => Promise<T>): Promise<T> {
  if (!isSea()) {
    const beside = [import.meta.dirname, join(import.meta.dirname, "../../build")];
    const path = beside.map((folder) => join(folder, chartArchive)).find((file) => existsSync(file));
    if (path === undefined) {
      throw new CommandError(`the chart ${chartArchive} is not beside this program; "make build" makes it`);
    }
    return use(path);
  }
  const folder = mkdtempSync(join(tmpdir(), "nginx-meshctl-"));
  try {
    const path = join(folder, chartArchive);
    writeFileSync(path, Buffer.from(getRawAsset(chartArchive)));
    return await use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
