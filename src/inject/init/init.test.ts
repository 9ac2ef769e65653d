import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const program = join(import.meta.dirname, "../../../build/nginx-mesh-init");

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds. */
  readonly took: number;
}

function start(...args: readonly string[]): { readonly ended: Promise<Ended>; end(): void } {
  const began = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const read = async (stream: NodeJS.ReadableStream): Promise<string> => {
    let text = "";
    for await (const chunk of stream) {
      text += String(chunk);
    }
    return text;
  };
  const ended = Promise.all([once(child, "close"), read(child.stdout), read(child.stderr)]).then(
    ([[status, signal], stdout, stderr]) => ({
      status: status as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout,
      stderr,
      took: performance.now() - began,
    }),
  );
  return { ended, end: () => void child.kill("SIGTERM") };
}

/** A server on 127.0.0.1 that says what `answer` says at that moment. */
async function serve(answer: () => readonly [status: number, body: string], port = 0): Promise<Server> {
  const server = createServer((_request, response) => {
    const [status, body] = answer();
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const portOf = (server: Server): string => `${(server.address() as AddressInfo).port}`;

/** A port that nobody listens on, for now. */
async function freePort(): Promise<number> {
  const server = await serve(() => [200, ""]);
  const port = Number(portOf(server));
  server.close();
  await once(server, "close");
  return port;
}

test("a sidecar that is ready holds nothing up, and nothing is said", async () => {
  const server = await serve(() => [200, '{"ready":true}']);
  const { status, stdout } = await start(portOf(server), "/bin/echo", "applied").ended;
  assert.deepEqual([status, stdout], [0, "applied\n"]);
  server.close();
});

test("it waits for a sidecar that does not listen yet, and is not ready at first, and says why", async () => {
  const port = await freePort();
  const began = performance.now();
  const after = (milliseconds: number): boolean => performance.now() - began > milliseconds;
  const { ended } = start(`${port}`, "/bin/true");
  await sleep(1_300);
  const server = await serve(
    () => (after(2_000) ? [200, "{}"] : [503, '{"ready":false,"reason":"no \\"SVID\\" yet","x":1}']),
    port,
  );
  const { status, stdout, took } = await ended;
  server.close();
  assert.equal(status, 0);
  assert.ok(took >= 1_950 && took < 3_000, `${took} ms`);
  const [refused, unready, ready, ...more] = stdout.trim().split("\n");
  assert.equal(refused, `waiting for the sidecar: no answer from 127.0.0.1:${port}: Connection refused`);
  assert.equal(unready, 'waiting for the sidecar: no \\"SVID\\" yet');
  assert.match(ready!, /^the sidecar is ready after [12]\.\d s$/);
  assert.deepEqual(more, []);
});

test("an answer that is none of a sidecar's is said as it is", async () => {
  let asked = 0;
  const began = performance.now();
  const server = await serve(() => {
    asked++;
    return performance.now() - began > 1_500 ? [200, ""] : [404, "<html>"];
  });
  const { status, stdout } = await start(portOf(server), "/bin/true").ended;
  server.close();
  assert.equal(status, 0);
  assert.match(stdout, /^waiting for the sidecar: 404 Not Found\n/);
  assert.ok(asked > 20 && asked < 200, `${asked} questions`);
});

test("several programs run in turn, up to the first that fails; with port 0 nothing is waited for", async () => {
  const both = await start("0", "/bin/echo", "a", "b", "--", "/bin/echo", "c").ended;
  assert.deepEqual([both.status, both.stdout], [0, "a b\nc\n"]);
  const second = ["--", "/bin/sh", "-c", "exit 3", "--", "/bin/echo", "never"];
  const failed = await start("0", "/bin/echo", "a", ...second).ended;
  assert.deepEqual([failed.status, failed.stdout], [3, "a\n"]);
  for (const missing of [
    ["--", "/bin/true"],
    ["/bin/true", "--", "--", "/bin/true"],
  ]) {
    const { status, stderr } = await start("0", ...missing).ended;
    assert.equal(status, 125);
    assert.match(stderr, /a program is missing/);
  }
});

const failures = [
  ["the status of a program that fails", ["/bin/sh", "-c", "exit 7"], 7, /^$/],
  ["128 + n after signal n", ["/bin/sh", "-c", "kill -KILL $$"], 137, /^$/],
  [
    "125 for a program that is not there",
    ["/does/not/exist"],
    125,
    /cannot start \/does\/not\/exist: No such file/,
  ],
] as const;
for (const [what, command, expected, message] of failures) {
  test(`${what}; the sidecar is not waited for`, async () => {
    const { status, stderr } = await start(`${await freePort()}`, ...command).ended;
    assert.equal(status, expected);
    assert.match(stderr, message);
  });
}

for (const args of [[], ["8886"], ["8886x", "/bin/true"], ["", "/bin/true"], ["65536", "/bin/true"]]) {
  test(`usage: ${JSON.stringify(args)}`, async () => {
    const { status, stderr } = await start(...args).ended;
    assert.equal(status, 125);
    assert.match(stderr, /usage: nginx-mesh-init PORT PROGRAM/);
  });
}

test("a signal ends it while it waits", async () => {
  const waiting = start(`${await freePort()}`, "/bin/true");
  await sleep(200);
  waiting.end();
  const { status, signal, took } = await waiting.ended;
  assert.deepEqual([status, signal], [143, null]);
  assert.ok(took < 2_000);
});
