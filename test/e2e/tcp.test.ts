/** TCP: who speaks first, half-closed connections, long idle ones, an application's own TLS, real programs. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, manifest, service, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
let outsider: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({
      name: "server",
      ports: anything,
      probe: anythingReady,
      labels: { group: "both" },
    }),
    "plain.yaml": workload({
      name: "plain",
      ports: anything,
      probe: anythingReady,
      meshed: false,
      labels: { group: "both" },
    }),
    "both.yaml": manifest(service("both", { group: "both" }, anything)),
    "redis.yaml": workload({
      name: "redis",
      ports: [{ name: "tcp-redis", port: 6379 }],
      command: [
        "redis-server",
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
      ],
      probe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
    }),
    "own.yaml": workload({ name: "own", ports: [{ name: "http-own", port: 7443 }], probe: anythingReady }),
    "client.yaml": idle("client"),
    "brief.yaml": idle("brief", { annotations: { "config.nginx-mesh/tcp-idle-timeout": "2s" } }),
    "outsider.yaml": idle("outsider", { meshed: false }),
  });
  client = startPodClient(mesh, "client");
  outsider = startPodClient(mesh, "outsider");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  outsider?.stop();
  await mesh?.stop();
});

/** First byte of a server that speaks first, in milliseconds: the middle one of nine connections. */
function firstByte(from: PodClient): Promise<number> {
  return from.run(async (tools) => {
    const times: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      const answer = await tools.raw("server", 7001, { until: "\n" });
      if (!answer.text.startsWith("hello from server-")) {
        throw new Error(`ended ${answer.ended} with "${answer.text}"`);
      }
      times.push(answer.firstByteMs);
    }
    return times.sort((a, b) => a - b)[4]!;
  }, 0);
}

test("the server speaks first, and its first byte is not held back", async () => {
  const ms = await firstByte(client);
  assert.ok(ms < 60, `${ms} ms`);
});

test("the server speaks first to a client without a sidecar (permissive), at once too", async () => {
  const ms = await firstByte(outsider);
  assert.ok(ms < 60, `${ms} ms`);
});

test("between two meshed pods it is mTLS", async () => {
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  const first = destinations?.find((entry) => entry.destination.includes("7001"));
  assert.equal(first?.protocol, "tcp");
  assert.equal(first?.endpoints?.[0]?.mtls, true);
});

/** How often each workload greeted, in 30 connections to a Service of a pod with a sidecar and one without. */
async function greetings(from: PodClient): Promise<Record<string, number>> {
  return from.run(async (tools) => {
    const counts: Record<string, number> = {};
    for (let i = 0; i < 30; i += 1) {
      const { text } = await tools.raw("both", 7001, { until: "\n" });
      const name = /hello from ([a-z]+)-/.exec(text)?.[1] ?? text;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }, 0);
}

test("endpoints with a sidecar and without get their share, also when one is the client itself", async () => {
  const inside = startPodClient(mesh, "server");
  try {
    for (const from of [client, inside]) {
      const counts = await greetings(from);
      assert.deepEqual(Object.keys(counts).toSorted(), ["plain", "server"]);
      assert.ok(Math.min(...Object.values(counts)) >= 8, JSON.stringify(counts));
    }
  } finally {
    inside.stop();
  }
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  const both = destinations?.find((entry) => /both port 7001/.test(entry.destination))?.endpoints ?? [];
  assert.deepEqual(both.map(({ pod, mtls }) => `${pod.replace(/-.*/, "")} ${mtls}`).toSorted(), [
    "plain false",
    "server true",
  ]);
});

test("half-close: a client that has ended still gets its answer", async () => {
  const answer = await client.run(
    (tools) => tools.raw("server", 7002, { send: "x".repeat(100_000), end: true }),
    0,
  );
  assert.equal(answer.text, "100000 bytes\n");
  assert.equal(answer.ended, "closed");
});

test("half-close the other way: a server that has ended still receives", async () => {
  const heard = await client.run(async (tools) => {
    const { text } = await tools.raw("server", 7003, { send: "first ", until: "bye" });
    const late = await new Promise<string>((resolve, reject) => {
      const socket = tools.net.connect({ host: "server", port: 7003, allowHalfOpen: true });
      socket.on("error", reject);
      socket.on("end", () => setTimeout(() => socket.end("after the end"), 200));
      socket.on("close", () => resolve("closed"));
      socket.resume();
    });
    await tools.timers.setTimeout(200);
    return {
      text,
      late,
      server: (await tools.raw("server", 7001, { send: "heard?", until: "you said heard?: " })).text,
    };
  }, 0);
  assert.equal(heard.text, "bye");
  assert.match(heard.server, /you said heard\?: .*after the end/);
});

test("4 MiB both ways at once, unchanged", async () => {
  const equal = await client.run(
    (tools) =>
      new Promise<boolean>((resolve, reject) => {
        const sent = Buffer.alloc(4 * 1024 * 1024);
        for (let i = 0; i < sent.length; i += 1) {
          sent[i] = (i * 7 + (i >> 9)) & 255;
        }
        const chunks: Buffer[] = [];
        const socket = tools.net.connect(7000, "server");
        socket.on("data", (chunk: Buffer) => chunks.push(chunk));
        socket.on("end", () => resolve(Buffer.concat(chunks).equals(sent)));
        socket.on("error", reject);
        socket.end(sent);
      }),
    0,
  );
  assert.equal(equal, true);
});

/** What a server with TLS of its own has seen of the client's ClientHello, and whose certificate the client has seen. */
function ownTls(from: PodClient, host: string): Promise<string> {
  return from.run(
    (tools, name) =>
      new Promise<string>((resolve, reject) => {
        const socket = tools.tls.connect({
          host: name,
          port: 7443,
          servername: "own.example",
          ALPNProtocols: ["special"],
          rejectUnauthorized: false,
        });
        socket.on("data", (chunk: Buffer) => {
          resolve(`${chunk.toString().trim()}, from ${String(socket.getPeerCertificate().subject.CN)}`);
          socket.destroy();
        });
        socket.on("error", reject);
        socket.on("close", () => reject(new Error("closed without an answer")));
        socket.setTimeout(5000, () => reject(new Error("no answer")));
      }),
    host,
  );
}

test("an application's own TLS goes through untouched; from a client without a sidecar to a port for HTTP too", async () => {
  const untouched = "server name own.example, alpn special, from own.example";
  assert.equal(await ownTls(client, "server"), untouched);
  assert.equal(await ownTls(outsider, "server"), untouched);
  assert.equal(await ownTls(outsider, "own"), untouched);
});

// for hours: see idle.test.ts
test("an idle connection stays open, and nothing is sent on it", async () => {
  const kept = await client.run(async (tools) => {
    const socket = tools.net.connect(7000, "server");
    const got: string[] = [];
    socket.on("data", (chunk: Buffer) => got.push(chunk.toString()));
    await tools.once(socket, "connect");
    socket.write("a");
    await tools.timers.setTimeout(1000);
    socket.write("b");
    await tools.timers.setTimeout(500);
    socket.destroy();
    return got;
  }, 0);
  assert.deepEqual(kept, ["a", "b"]);
});

test("tcp-idle-timeout: a connection without traffic is closed by then, one with traffic is not", async () => {
  const brief = startPodClient(mesh, "brief");
  try {
    const { silent, busy } = await brief.run(async (tools) => {
      const started = Date.now();
      const quiet = tools.raw("server", 7000, { timeout: 9000 });
      const talking = (async () => {
        const socket = tools.net.connect(7000, "server");
        let echoed = "";
        let open = true;
        socket.on("data", (chunk: Buffer) => (echoed += chunk.toString()));
        socket.on("close", () => (open = false));
        socket.on("error", () => undefined);
        for (let i = 0; i < 8; i += 1) {
          socket.write("x");
          await tools.timers.setTimeout(800);
        }
        socket.destroy();
        return { echoed, open };
      })();
      const ended = (await quiet).ended;
      return { silent: { ended, after: Date.now() - started }, busy: await talking };
    }, 0);
    assert.match(silent.ended, /closed|reset/);
    assert.ok(silent.after >= 1900 && silent.after < 7000, `${silent.after} ms`);
    assert.deepEqual(busy, { echoed: "xxxxxxxx", open: true });
  } finally {
    brief.stop();
  }
});

test("a connection that the client resets is closed at the server, and the other way round", async () => {
  const left = await client.run(async (tools) => {
    for (let i = 0; i < 20; i += 1) {
      const socket = tools.net.connect(7000, "server");
      await tools.once(socket, "connect");
      socket.write("x");
      await tools.once(socket, "data");
      socket.resetAndDestroy();
    }
    await tools.timers.setTimeout(300);
    return tools.raw("server", 7000, { send: "still works", until: "still works" });
  }, 0);
  assert.equal(left.ended, "found");
  const before = (await sidecarStatus(await mesh.pod("server"))).connections;
  assert.ok(before < 30, `${before} connections left`);
});

test("redis with its own client", async () => {
  const set = await mesh.exec("client", "redis-cli", "-h", "redis", "set", "key", "value");
  assert.equal(set.stdout.trim(), "OK", set.stderr);
  const got = await mesh.exec("client", "redis-cli", "-h", "redis", "get", "key");
  assert.equal(got.stdout.trim(), "value");
  const plain = await mesh.exec("outsider", "redis-cli", "-h", "redis", "get", "key");
  assert.equal(plain.stdout.trim(), "value");
});
