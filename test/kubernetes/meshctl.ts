/** nginx-meshctl as a user runs it, from "make build" of this checkout, or the executable file that MESHCTL names. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import type { Ended } from "./fixture.ts";

export type { Ended };

const checkout = join(import.meta.dirname, "../..");
const program = process.env["MESHCTL"];

/** Runs it to its end, at most `seconds` long. */
export function runMeshctl(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  seconds = 120,
): Promise<Ended> {
  const [file, before] =
    program === undefined ? [process.execPath, [join(checkout, "build/nginx-meshctl.mjs")]] : [program, []];
  const env = { ...process.env, ...environment };
  return new Promise((resolve) => {
    const settings = { env, timeout: seconds * 1000, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(file, [...before, ...args], settings, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ status, stdout, stderr });
    });
    child.stdin?.end();
  });
}
