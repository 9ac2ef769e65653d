/** gRPC, and HTTP/2 with prior knowledge: streams, trailers, deadlines, cancellation, and errors in gRPC's own terms. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anything, anythingReady, http2Port, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: [...anything, http2Port], probe: anythingReady }),
    // its gRPC port is closed, though the pod is ready
    "closed.yaml": workload({
      name: "closed",
      ports: anything,
      probe: anythingReady,
      env: { OFFLINE: "50051" },
    }),
    "none.yaml": workload({ name: "none", replicas: 0, ports: anything }),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

test("unary: message, metadata in both directions, trailers", async () => {
  const { said, metadata } = await client.run(async (tools) => {
    const stub = tools.grpcClient("server:50051");
    return {
      said: await tools.call(stub, "unary", "hi"),
      metadata: await tools.call(stub, "unary", "metadata?", {
        metadata: { "x-under_score": "1", "x-custom": "a b" },
      }),
    };
  }, 0);
  assert.equal(said.code, 0);
  assert.match(said.message, /^server-\S+ heard hi$/);
  assert.equal(said.trailers["trailing"], "yes");
  assert.match(String(said.headers["served-by"]), /^server-/);
  const heard = JSON.parse(metadata.message) as Record<string, string>;
  assert.equal(heard["x-custom"], "a b");
  assert.equal(heard["x-under_score"], "1");
  assert.match(heard["user-agent"] ?? "", /^grpc-node-js/);
  assert.match(
    heard["x-forwarded-client-cert"] ?? "",
    /;URI=spiffe:\/\/example.org\/ns\/default\/sa\/client$/,
  );
});

test("the server's error status, details and trailers arrive", async () => {
  const failed = await client.run((tools) => tools.call(tools.grpcClient("server:50051"), "fail", ""), 0);
  assert.equal(failed.code, 9);
  assert.equal(failed.details, "not täday");
  assert.equal(failed.trailers["why"], "because");
});

test("client streaming and server streaming, many messages", async () => {
  const result = await client.run(async (tools) => {
    const stub = tools.grpcClient("server:50051");
    const same = (value: Buffer): Buffer => value;
    const collected = await new Promise<string>((resolve, reject) => {
      const stream = stub.makeClientStreamRequest(
        "/test.Anything/Collect",
        same,
        same,
        (error: Error | null, value?: Buffer) => (error === null ? resolve(String(value)) : reject(error)),
      );
      for (let i = 0; i < 200; i += 1) {
        stream.write(Buffer.alloc(20_000));
      }
      stream.end();
    });
    const counted = await new Promise<{ count: number; trailer: unknown }>((resolve, reject) => {
      const stream = stub.makeServerStreamRequest("/test.Anything/Count", same, same, Buffer.from("2000"));
      let count = 0;
      stream.on("data", () => (count += 1));
      stream.on("error", reject);
      stream.on("status", (status: { metadata: { getMap(): Record<string, unknown> } }) =>
        resolve({ count, trailer: status.metadata.getMap()["counted"] }),
      );
    });
    return { collected, counted };
  }, 0);
  assert.equal(result.collected, "200 messages, 4000000 bytes");
  assert.deepEqual(result.counted, { count: 2000, trailer: "2000" });
});

test("bidirectional streaming: each message is answered before the next is sent", async () => {
  const answers = await client.run(
    (tools) =>
      new Promise<string[]>((resolve, reject) => {
        const same = (value: Buffer): Buffer => value;
        const stream = tools
          .grpcClient("server:50051")
          .makeBidiStreamRequest("/test.Anything/Converse", same, same, { deadline: Date.now() + 5000 });
        const seen: string[] = [];
        stream.on("data", (message: Buffer) => {
          seen.push(message.toString());
          if (seen.length === 5) {
            stream.end();
          } else {
            stream.write(Buffer.from(String(seen.length)));
          }
        });
        stream.on("error", reject);
        stream.on("end", () => resolve(seen));
        stream.write(Buffer.from("0"));
      }),
    0,
  );
  assert.deepEqual(
    answers,
    ["0", "1", "2", "3", "4"].map((n) => `you said ${n}`),
  );
});

interface Watched {
  readonly cancelled: number;
  readonly running: number;
}

/** Calls that hang: how many run at the server and how many it saw cancelled, once `satisfied` or after two seconds. */
function hanging(cancelled: number): Promise<Watched> {
  return client.run(async (tools, wanted) => {
    const stub = tools.grpcClient("server:50051");
    let seen: Watched = { cancelled: -1, running: -1 };
    for (let i = 0; i < 40 && seen.cancelled < wanted; i += 1) {
      seen = JSON.parse((await tools.call(stub, "unary", "cancelled?")).message) as Watched;
      await tools.timers.setTimeout(50);
    }
    return seen;
  }, cancelled);
}

test("a deadline ends the call at the client in time, and at the server", async () => {
  const before = await hanging(0);
  const { code, ms } = await client.run(async (tools) => {
    const started = Date.now();
    const result = await tools.call(tools.grpcClient("server:50051"), "hangs", "", {
      deadline: Date.now() + 400,
    });
    return { code: result.code, ms: Date.now() - started };
  }, 0);
  assert.equal(code, 4);
  assert.ok(ms >= 350 && ms < 1500, `${ms} ms`);
  assert.deepEqual(await hanging(before.cancelled + 1), { cancelled: before.cancelled + 1, running: 0 });
});

test("a cancelled stream is cancelled at the server", async () => {
  const before = await hanging(0);
  const code = await client.run(
    (tools) =>
      new Promise<number>((resolve) => {
        const same = (value: Buffer): Buffer => value;
        const stream = tools
          .grpcClient("server:50051")
          .makeServerStreamRequest("/test.Anything/Hang", same, same, Buffer.from(""));
        stream.on("data", () => stream.cancel());
        stream.on("error", (error: Error & { code: number }) => resolve(error.code));
      }),
    0,
  );
  assert.equal(code, 1);
  assert.deepEqual(await hanging(before.cancelled + 1), { cancelled: before.cancelled + 1, running: 0 });
});

test("calls share connections: many at once, and one after the other", async () => {
  const { codes, hosts, opened } = await client.run(async (tools) => {
    const stub = tools.grpcClient("server:50051");
    const open = async (): Promise<number> =>
      Number((await tools.call(stub, "unary", "connections?")).message);
    const calls = Array.from({ length: 200 }, (_, i) => tools.call(stub, "unary", `call ${i}`));
    const results = (await Promise.all(calls)).map((result, i) =>
      result.message.endsWith(`heard call ${i}`) ? result.code : -1,
    );
    const before = await open();
    const seen: string[] = [];
    for (let i = 0; i < 50; i += 1) {
      seen.push((await tools.call(stub, "unary", "host?")).message);
    }
    return { codes: results, hosts: [...new Set(seen)], opened: (await open()) - before };
  }, 0);
  assert.deepEqual(
    codes,
    Array.from({ length: 200 }, () => 0),
  );
  assert.ok(opened <= 1, `the application saw ${opened} new connections for 50 calls`);
  assert.deepEqual(hosts, ["server:50051"], "as the client wrote it");
});

test("UNAVAILABLE (14) with a reason when there is no endpoint, and when nothing answers at its port", async () => {
  const { none, closed } = await client.run(
    async (tools) => ({
      none: await tools.call(tools.grpcClient("none:50051"), "unary", "hi", { deadline: Date.now() + 5000 }),
      closed: await tools.call(tools.grpcClient("closed:50051"), "unary", "hi", {
        deadline: Date.now() + 5000,
      }),
    }),
    0,
  );
  assert.equal(none.code, 14, none.details);
  assert.match(none.details, /^nginx-mesh: no endpoint is ready for /);
  assert.equal(none.headers["nginx-mesh-error"] ?? none.trailers["nginx-mesh-error"], "no-endpoint");
  assert.equal(closed.code, 14, closed.details);
  assert.match(closed.details, /^nginx-mesh: /);
  assert.equal(closed.headers["nginx-mesh-error"] ?? closed.trailers["nginx-mesh-error"], "upstream-failed");
});

test("plain HTTP/2 with prior knowledge on an http port, to a server that speaks only HTTP/2", async () => {
  const answer = await client.run(
    (tools) =>
      new Promise<{ status: unknown; message: string; trailers: Record<string, unknown> }>(
        (resolve, reject) => {
          const session = tools.http2.connect("http://server:82");
          session.on("error", reject);
          const stream = session.request({
            ":method": "POST",
            ":path": "/test.Anything/Unary",
            "content-type": "application/grpc",
            te: "trailers",
          });
          let status: unknown;
          let message = "";
          let trailers: Record<string, unknown> = {};
          stream.on("response", (headers) => (status = headers[":status"]));
          stream.on("data", (chunk: Buffer) => (message += chunk.subarray(5).toString()));
          stream.on("trailers", (headers) => (trailers = headers));
          stream.on("error", reject);
          stream.on("end", () => {
            session.close();
            resolve({ status, message, trailers: { ...trailers } });
          });
          stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), Buffer.from("h2")]));
        },
      ),
    0,
  );
  assert.equal(answer.status, 200);
  assert.match(answer.message, /heard h2$/);
  assert.equal(answer.trailers["grpc-status"], "0");
});

test("HTTP/2 that is not gRPC: path, authority and headers arrive as they were sent", async () => {
  const body = await client.run(
    (tools) =>
      tools.getHttp2("http://server:83", {
        ":authority": "Some.Host:8123",
        ":path": "/a//b/../%2e?x=%20",
        x_under_score: "1",
        "x.dot": ".",
      }),
    0,
  );
  const { headers } = JSON.parse(body) as { headers: Record<string, string> };
  assert.deepEqual(
    [headers[":authority"], headers[":path"], headers["x_under_score"], headers["x.dot"]],
    ["Some.Host:8123", "/a//b/../%2e?x=%20", "1", "."],
  );
});

test("nghttp and h2load", async () => {
  const get = await mesh.exec("client", "nghttp", "-nv", "http://server:82/nothing");
  assert.match(get.stdout, /:status: (200|404|415)/, get.stdout);
  const load = await mesh.exec(
    "client",
    "h2load",
    "-n",
    "400",
    "-c",
    "4",
    "-m",
    "20",
    "http://server:82/nothing",
  );
  assert.match(load.stdout, /400 done, .*0 failed, 0 errored/, load.stdout + load.stderr);
});
