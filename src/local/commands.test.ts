import assert from "node:assert/strict";
import { test } from "node:test";
import { ProgramError, run } from "./commands.ts";

test("standard output of a program that ends well; the last words of one that does not", async () => {
  assert.equal(await run("sh", ["-c", "cat; echo out"], { input: "in " }), "in out\n");
  await assert.rejects(run("sh", ["-c", "echo why >&2; exit 3"]), /status 3\): why/);
  await assert.rejects(run("/nobody", []), ProgramError);
});

test("a program that does not end in time has failed, also when what it began holds its output", async () => {
  for (const script of ["exec sleep 3", "sleep 3; true", "trap '' TERM; sleep 3 | cat"]) {
    const start = Date.now();
    await assert.rejects(run("sh", ["-c", script], { timeout: 100 }), /not ended within 0\.1 s/);
    assert.ok(Date.now() - start < 1_500, script);
  }
});
