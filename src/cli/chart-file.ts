/** The chart that this program carries. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getAsset, getRawAsset, isSea } from "node:sea";

import { CommandError } from "./errors.ts";

/** Names of the archive and of its kinds by themselves: beside the program, or within the executable file. */
export const chartArchive = "nginx-mesh-chart.tgz";
export const chartKinds = "nginx-mesh-crds.json";

function besideProgram(name: string): string {
  const folders = [import.meta.dirname, join(import.meta.dirname, "../../build")];
  const path = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (path === undefined) {
    throw new CommandError(`${name}, a part of the chart, is not beside this program; "make build" makes it`);
  }
  return path;
}

/** The CustomResourceDefinitions of the chart as JSON. Throws CommandError when the program was not built with them. */
export function chartKindsText(): string {
  return isSea() ? getAsset(chartKinds, "utf8") : readFileSync(besideProgram(chartKinds), "utf8");
}

/** Gives a path of the chart's archive to `use`. Throws CommandError when the program was not built with it. */
export async function withChart<T>(use: (path: string) => Promise<T>): Promise<T> {
  if (!isSea()) {
    return use(besideProgram(chartArchive));
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
