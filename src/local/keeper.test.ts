import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { keep, type Keeper, type KeeperOptions } from "./keeper.ts";

const folder = mkdtempSync(join(tmpdir(), "keeper-"));
const keepers: Keeper[] = [];
after(async () => {
  // what a test that failed has left would keep this process from ending
  await Promise.all(keepers.map((keeper) => keeper.stop("SIGKILL", 1000)));
  rmSync(folder, { recursive: true });
});

function shell(name: string, script: string, more: Partial<KeeperOptions> = {}) {
  const log = join(folder, `${name}.log`);
  const launch = { program: "/bin/sh", args: ["-c", script], environment: { PATH: "/bin:/usr/bin", A: "b" } };
  const keeper = keep({ launch, log, onChange: () => undefined, ...more });
  keepers.push(keeper);
  return {
    keeper,
    log: () => readFileSync(log, "utf8"),
  };
}

async function until(what: string, satisfied: () => boolean): Promise<void> {
  for (let tries = 0; !satisfied(); tries += 1) {
    assert.ok(tries < 500, what);
    await sleep(10);
  }
}

function isThere(keeper: Keeper): boolean {
  try {
    process.kill(keeper.pid ?? -1, 0);
    return true;
  } catch {
    return false;
  }
}

test("a process that keeps ending is started again, with pauses that double, and its output and ends are in the log", async () => {
  const { keeper, log } = shell("crash", "echo started $A; exit 3");
  await until("three restarts", () => keeper.restarts >= 3);
  assert.match(keeper.reason, /^ended with status 3; started again in 0\.4 s$/);
  assert.equal(keeper.state, "waiting");
  await keeper.stop("SIGTERM", 1000);
  const { restarts } = keeper;
  await sleep(600);
  assert.equal(keeper.restarts, restarts, "not started again after it was stopped");
  assert.equal(log().match(/^started b$/gm)?.length, 3);
  assert.match(log(), /started again in 0\.1 s[^]*in 0\.2 s[^]*in 0\.4 s/);
});

test("a process is asked to end, and made to end after its grace", async () => {
  const polite = shell("polite", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done");
  const deaf = shell("deaf", "trap '' TERM; while :; do sleep 0.05; done");
  await sleep(100);
  await polite.keeper.stop("SIGTERM", 10_000);
  assert.match(polite.log(), /^bye$/m);
  assert.ok(isThere(deaf.keeper));
  const start = Date.now();
  await deaf.keeper.stop("SIGTERM", 200);
  assert.ok(Date.now() - start >= 190);
  assert.equal(deaf.keeper.state, "stopped");
});

test("it may end for good", async () => {
  const restart = (status: number | null): boolean => status !== 0;
  const { keeper } = shell("job", "exit 0", { restart });
  await until("completed", () => keeper.state === "completed");
  assert.equal(keeper.reason, "");
  await keeper.stop("SIGTERM", 10);
});

test("a program that cannot be started is a reason, not an exception", async () => {
  const nobody = { program: "/nobody", args: [], environment: {} };
  const tooLong = { program: "/bin/true", args: ["x".repeat(4 * 1024 * 1024)], environment: {} };
  for (const [name, launch] of Object.entries({ nobody, tooLong })) {
    const { keeper, log } = shell(name, "", { launch });
    await until("failed", () => keeper.restarts > 0);
    assert.match(log(), new RegExp(`cannot start ${launch.program}`));
    await keeper.stop("SIGTERM", 10);
  }
});
