import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openLog } from "./log-file.ts";

const folder = mkdtempSync(join(tmpdir(), "log-"));
after(() => rmSync(folder, { recursive: true }));
const chunk = Buffer.alloc(1024 * 1024, "x");

test("a log keeps its newest part and one before it, and never more", () => {
  const path = join(folder, "a.log");
  const log = openLog(path);
  for (let i = 0; i < 30; i += 1) {
    log.write(chunk);
  }
  log.write("the end\n");
  log.close();
  assert.ok(statSync(path).size <= 8 * 1024 * 1024);
  assert.ok(statSync(`${path}.1`).size <= 8 * 1024 * 1024);
  assert.match(readFileSync(path, "utf8").slice(-8), /the end\n/);
  const again = openLog(path);
  again.write("more\n");
  again.close();
  assert.match(readFileSync(path, "utf8"), /the end\nmore\n$/);
});

test("what a full disk does not take is lost without an exception", () => {
  const log = openLog("/dev/full");
  log.write("a line\n");
  log.close();
});

test("a log that could not be written goes on where it can again, and says what is missing", () => {
  const path = join(folder, "b.log");
  const log = openLog(path);
  // what is in the way of the full log
  mkdirSync(`${path}.1/inside`, { recursive: true });
  for (let i = 0; i < 10; i += 1) {
    log.write(chunk);
  }
  rmSync(`${path}.1`, { recursive: true });
  log.write("the end\n");
  log.close();
  assert.equal(statSync(`${path}.1`).size, 8 * chunk.length);
  assert.equal(
    readFileSync(path, "utf8"),
    `\n[local mode] ${2 * chunk.length} bytes are missing here: they could not be written\nthe end\n`,
  );
});
