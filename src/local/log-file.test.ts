import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openLog } from "./log-file.ts";

test("a log keeps its newest part and one before it, and never more", () => {
  const folder = mkdtempSync(join(tmpdir(), "log-"));
  const path = join(folder, "a.log");
  const log = openLog(path);
  const chunk = Buffer.alloc(1024 * 1024, "x");
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
  rmSync(folder, { recursive: true });
});
