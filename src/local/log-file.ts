/**
 * A log that does not fill the disk: when it is full it becomes `….1`, and the one before that goes. It never throws: what
 * cannot be written, as when others have filled the disk, is lost, and the log tells so where it goes on.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

const largest = 8 * 1024 * 1024;

export interface LogFile {
  write(chunk: Buffer | string): void;
  close(): void;
}

export function openLog(path: string): LogFile {
  /** Undefined while it cannot be opened. */
  let file: number | undefined;
  let size = 0;
  /** Bytes since the last that were written. */
  let lost = 0;

  const open = (): number => {
    const opened = openSync(path, "a", 0o600);
    size = fstatSync(opened).size;
    return opened;
  };
  const close = (): void => {
    const open = file;
    file = undefined;
    if (open !== undefined) {
      closeSync(open);
    }
  };
  const append = (bytes: Buffer): void => {
    file ??= open();
    if (size > 0 && size + bytes.length > largest) {
      close();
      renameSync(path, `${path}.1`);
      file = open();
    }
    const written = writeSync(file, bytes);
    size += written;
    lost = bytes.length - written;
  };
  const write = (chunk: Buffer | string): void => {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    const gap = `\n[local mode] ${lost} bytes are missing here: they could not be written\n`;
    try {
      append(lost === 0 ? bytes : Buffer.concat([Buffer.from(gap), bytes]));
    } catch {
      lost += bytes.length;
    }
  };
  // it is there from the beginning, though empty
  write("");
  return { write, close };
}
