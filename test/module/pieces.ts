/** Parsers of the module, compiled alone with sanitizers, on pieces of bytes. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";

const flags = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"];

/** Compiles a source of the module with the report on one piece, a source of this folder. */
export function compileParser(source: string, report: string, program: string): void {
  const module = join(import.meta.dirname, "../../src/sidecar/module", source);
  // included first, the small header keeps the module's own out
  const header = ["-I", import.meta.dirname, "-include", join(import.meta.dirname, "ngx_mesh.h")];
  const sources = [module, ...[report, "pieces_main.c"].map((file) => join(import.meta.dirname, file))];
  execFileSync("gcc", [...flags, "-fno-sanitize-recover=all", ...header, "-o", program, ...sources]);
}

/** A line for each piece. */
export function parsePieces(program: string, pieces: readonly Buffer[]): string[] {
  const input = pieces.flatMap((piece) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(piece.length);
    return [length, piece];
  });
  const run = spawnSync(program, { input: Buffer.concat(input), encoding: "utf8", maxBuffer: 2 ** 26 });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.split("\n").slice(0, -1);
}
