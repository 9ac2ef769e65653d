/** The load generator against the application: its figures are what everything else rests on. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { run, startProgram, type RunningProgram } from "./commands.ts";
import { kinds } from "./kinds.ts";
import { buildPrograms } from "./programs.ts";

interface Report {
  readonly requests: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const programs = buildPrograms();
const address = "127.61.0.1";
let app: RunningProgram;

before(async () => {
  app = startProgram([programs.app, "-a", address, "-n", "test"]);
  await sleep(200);
});
after(() => app.stop());

async function load(...options: readonly string[]): Promise<Report> {
  return JSON.parse(await run([programs.load, ...options])) as Report;
}

for (const kind of kinds) {
  test(`${kind.title}: every answer is checked, the rate is kept`, async () => {
    const target = ["-t", `${address}:${kind.port}`];
    const paced = await load(...kind.load, ...target, "-r", "500", "-d", "0.5");
    assert.ok(Math.abs(paced.requests - 250) <= 5, `${paced.requests} requests`);
    const wrongSize = kind.load.map((option, index) => (kind.load[index - 1] === "-e" ? "77" : option));
    if (kind.name !== "tcp") {
      await assert.rejects(load(...wrongSize, ...target, "-d", "0.2"), /instead of/);
    }
  });
}

test("a server that stands still once delays all requests that were due meanwhile", async () => {
  // two connections: without what was due, only two of a thousand requests would be late
  const options = ["-p", "http", "-u", "/small", "-e", "128", "-c", "2", "-r", "1000", "-d", "1"];
  const running = load(...options, "-t", `${address}:8080`);
  await sleep(400);
  await fetch(`http://${address}:8080/stall`);
  const report = await running;
  // 200 ms in 1 s: a fifth of the requests waited, evenly between 0 and 200 ms, so 99 % is near 190 ms
  assert.ok(report.max > 195_000, `max ${report.max}`);
  assert.ok(report.p99 > 150_000, `p99 ${report.p99}`);
  assert.ok(report.p50 < 50_000, `p50 ${report.p50}`);
});

test("an error status ends the measurement", async () => {
  const target = ["-t", `${address}:8080`];
  await assert.rejects(
    load("-p", "http", "-u", "/small", "-e", "128", "-t", `${address}:1`),
    /cannot connect/,
  );
  await assert.rejects(
    load("-p", "grpc", "-u", "/a.B/C", "-e", "128", ...target, "-d", "0.2"),
    /closed|stream|frame/,
  );
});
