import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../../test/fixtures/nats-server.ts";
import { followProbe } from "./probes.ts";

test("an application that takes a while to listen has not failed, and is noticed soon after it does", async () => {
  const port = await freePort();
  const target = { address: "127.0.0.1", container: { name: "slow" }, enter: () => undefined };
  const verdicts: (boolean | undefined)[] = [];
  const probe = followProbe({ tcpSocket: { port } }, target, () => verdicts.push(probe.passed));
  const server = createServer((socket) => socket.destroy());
  try {
    await delay(300);
    assert.match(probe.reason, /ECONNREFUSED/);
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    await delay(600);
    assert.deepEqual(verdicts, [undefined, true]);
  } finally {
    probe.stop();
    server.close();
  }
});
