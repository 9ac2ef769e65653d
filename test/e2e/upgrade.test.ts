/** WebSocket and other upgraded connections: both ways, idle, and while the configuration changes. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, meshConfig, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
const server = { name: "server", ports: anything, probe: anythingReady } as const;

before(async () => {
  mesh = await startMesh({ "server.yaml": workload(server), "client.yaml": idle("client") });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

test("WebSocket: the server speaks first, text and binary both ways, subprotocol, large messages, close codes", async () => {
  const seen = await client.run(async (tools) => {
    const peer = new tools.WebSocket("ws://server/room?x=1", ["chat.v2"]);
    const messages: { text: string; binary: boolean }[] = [];
    const next = async (count: number): Promise<void> => {
      while (messages.length < count) {
        await tools.once(peer, "message");
      }
    };
    peer.on("message", (data: Buffer, binary: boolean) =>
      messages.push({ text: data.toString("latin1").slice(0, 40), binary }),
    );
    await tools.once(peer, "open");
    await next(1);
    peer.send("text");
    await next(2);
    peer.send(Buffer.from([0, 255, 13, 10]));
    await next(3);
    peer.send("z".repeat(3_000_000));
    await next(4);
    const { protocol } = peer;
    peer.close(4321, "enough");
    const [code] = (await tools.once(peer, "close")) as [number];
    return { messages, protocol, code };
  }, 0);
  assert.deepEqual(seen.messages, [
    { text: "welcome /room?x=1", binary: false },
    { text: "text", binary: false },
    { text: "\0\xff\r\n", binary: true },
    { text: "z".repeat(40), binary: false },
  ]);
  assert.equal(seen.protocol, "chat.v2");
  assert.equal(seen.code, 4321);
});

test("another protocol: bytes of any kind both ways, the first of them with the request", async () => {
  const answer = await client.run((tools) => {
    const head = "GET /x HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: odd/2\r\n\r\n";
    return tools.raw("server", 80, { send: `${head}\x00\x01early`, until: "\x00\x01early" });
  }, 0);
  assert.match(answer.text, /^HTTP\/1.1 101 /);
  assert.match(answer.text, /upgrade: odd\/2/i);
  assert.equal(answer.ended, "found");
});

test("an upgrade that the server refuses is an ordinary answer on a connection that stays", async () => {
  const answer = await client.run((tools) => {
    const head = "GET /head HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: odd/2\r\n\r\n";
    return tools.raw("server", 81, { send: head + head, until: "Upgrade: odd/2\r\n", times: 2 });
  }, 0);
  assert.equal(answer.ended, "found", answer.text);
});

test("open connections stay while the configuration changes", async () => {
  const opened = await client.run(async (tools) => {
    const peers = Array.from({ length: 5 }, () => new tools.WebSocket("ws://server/"));
    await Promise.all(peers.map((peer) => tools.once(peer, "message")));
    Object.assign(globalThis, { peers });
    return peers.length;
  }, 0);
  const changed = { ...server, replicas: 2 };
  mesh.write("server.yaml", workload(changed));
  await mesh.until(
    "a second replica",
    (view) => view.pods.filter((pod) => pod.owner === "deployment/server" && pod.ready).length === 2,
  );
  const changes = { nginxLBMethod: "random", clientMaxBodySize: "2m", nginxErrorLogLevel: "info" };
  mesh.write("settings.yaml", meshConfig(changes));
  await sleep(500);
  const status = await sidecarStatus(await mesh.pod("client"));
  const destination = status.destinations?.find((entry) => entry.destination.includes("port 80"));
  assert.equal(destination?.endpoints?.length, 2, "the change must be in force");
  assert.equal(destination?.balancing, "random", "the change must be in force");
  const answers = await client.run(async (tools) => {
    const { peers } = globalThis as unknown as { peers: InstanceType<typeof tools.WebSocket>[] };
    const seen: string[] = [];
    for (const peer of peers) {
      const answered = tools.once(peer, "message");
      peer.send("still there?");
      seen.push(String(((await answered) as [Buffer])[0]));
      peer.terminate();
    }
    return seen;
  }, 0);
  assert.deepEqual(
    answers,
    Array.from({ length: opened }, () => "still there?"),
  );
});
