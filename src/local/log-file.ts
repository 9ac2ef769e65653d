/** A log that does not fill the disk: when it is full it becomes `….1`, and the one before that goes. */
import { closeSync, openSync, renameSync, statSync, writeSync } from "node:fs";

const largest = 8 * 1024 * 1024;

export interface LogFile {
  write(chunk: Buffer | string): void;
  close(): void;
}

export function openLog(path: string): LogFile {
  let file = openSync(path, "a", 0o600);
  let size = statSync(path).size;
  return {
    write(chunk) {
      size += typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.length;
      if (size > largest) {
        closeSync(file);
        renameSync(path, `${path}.1`);
        file = openSync(path, "a", 0o600);
        size = chunk.length;
      }
      writeSync(file, typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    },
    close: () => closeSync(file),
  };
}
