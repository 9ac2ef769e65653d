/** How the test bed says that something failed. */
import { existsSync, readFileSync } from "node:fs";

/** A step of the test bed failed; the message says which, why, and what to look at. */
export class BedError extends Error {
  override readonly name = "BedError";
}

/** Name of a log and its last lines, for the end of a message. */
export function logEnd(file: string, lines = 15): string {
  const text = existsSync(file) ? readFileSync(file, "utf8").trimEnd() : "";
  const end = text.split("\n").slice(-lines);
  return text === ""
    ? `Its log ${file} is empty.`
    : `The log is ${file}; its end:\n${end.map((line) => `    ${line.slice(0, 400)}`).join("\n")}`;
}
