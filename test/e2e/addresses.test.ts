/** Every way in which pods address each other, and themselves. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, manifest, service, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
let server: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
    // more Services on the same pod port, and one with other port numbers
    "more.yaml": manifest(
      service("second", { app: "server" }, [{ name: "http", port: 80, target: 8080 }]),
      service("third", { app: "server" }, [
        { name: "http", port: 8080 },
        { name: "tcp-other", port: 1234, target: 7001 },
      ]),
    ),
    "set.yaml": workload({
      name: "set",
      kind: "StatefulSet",
      replicas: 2,
      headless: true,
      probe: anythingReady,
      ports: anything
        .map(({ name, port, target }) => ({ name, port: target ?? port }))
        .filter((entry, i, all) => all.findIndex((other) => other.port === entry.port) === i),
    }),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
  server = startPodClient(mesh, "server");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  server?.stop();
  await mesh?.stop();
});

interface Asked {
  readonly pod: string;
  readonly headers: Record<string, string>;
}

async function ask(url: string, from = client): Promise<Asked> {
  const answer = await from.run((tools, given) => tools.get(given, { agent: false }), url);
  assert.equal(answer.status, 200, `${url}: ${answer.body}`);
  return JSON.parse(answer.body) as Asked;
}

function caller(asked: Asked): string | undefined {
  return /URI=spiffe:\/\/[^/]+\/ns\/default\/sa\/(.*)$/.exec(
    asked.headers["x-forwarded-client-cert"] ?? "",
  )?.[1];
}

function hello(host: string, port: number, from = client): Promise<string> {
  return from.run(async (tools, given) => (await tools.raw(given.host, given.port, { until: "\n" })).text, {
    host,
    port,
  });
}

test("a pod calls itself through its own Service: HTTP, gRPC, TCP", async () => {
  const asked = await ask("http://server/", server);
  assert.match(asked.pod, /^server-/);
  assert.match(await hello("server", 7001, server), /^hello from server-/);
  const call = await server.run((tools) => tools.call(tools.grpcClient("server:50051"), "unary", "me"), 0);
  assert.match(call.message, /heard me/);
});

/** The port that the connection has for the client, and the one that it comes from for the server. */
function ends(url: string): Promise<{ here: number | undefined; there: number | undefined }> {
  return server.run(
    (tools, given) =>
      new Promise((resolve, reject) => {
        const request = tools.http.get(given, { agent: false }, (response) => {
          const here = response.socket.localPort;
          let body = "";
          response.on("data", (chunk: Buffer) => (body += chunk.toString()));
          response.on("end", () => {
            if (response.statusCode === 200) {
              resolve({ here, there: (JSON.parse(body) as { remotePort?: number }).remotePort });
            } else {
              reject(new Error(`${given}: ${body}`));
            }
          });
        });
        request.on("error", reject);
      }),
    url,
  );
}

test("a pod calls its own loopback and its own address: no sidecar in between", async () => {
  const { address } = await mesh.pod("server");
  for (const url of ["http://127.0.0.1:8080/", "http://localhost:8080/", `http://${address}:8080/`]) {
    const { here, there } = await ends(url);
    assert.equal(there, here, url);
  }
  const through = await ends("http://server/");
  assert.notEqual(through.there, through.here, "through its Service there is one");
});

test("a pod's address instead of its Service: mTLS all the same, for HTTP, gRPC and TCP", async () => {
  const { address } = await mesh.pod("server");
  assert.equal(caller(await ask(`http://${address}:8080/`)), "client");
  assert.match(await hello(address, 7001), /^hello from server-/);
  const call = await client.run(
    (tools, host) => tools.call(tools.grpcClient(`${host}:50051`), "unary", "metadata?"),
    address,
  );
  assert.match(call.message, /sa\/client"/);
});

test("a port of a pod that nothing declares is TCP, encrypted too", async () => {
  const { address } = await mesh.pod("server");
  const undeclared = await server.run(
    (tools) =>
      new Promise<boolean>((resolve) => {
        tools.net
          .createServer((socket) => socket.end("undeclared"))
          .listen(9999, "0.0.0.0", () => resolve(true));
      }),
    0,
  );
  assert.equal(undeclared, true);
  const answer = await client.run((tools, host) => tools.raw(host, 9999, {}), address);
  assert.equal(answer.text, "undeclared");
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  const undeclaredPort = destinations?.find(({ destination }) => destination.endsWith(" port 9999"));
  assert.deepEqual(
    undeclaredPort?.endpoints?.map(({ mtls }) => mtls),
    [true],
  );
});

test("several Services on one pod port, and one Service with several ports", async () => {
  for (const url of ["http://server/", "http://second/", "http://third:8080/"]) {
    assert.equal(caller(await ask(url)), "client", url);
  }
  assert.match(await hello("third", 1234), /^hello from server-/);
  assert.match(await hello("server", 7001), /^hello from server-/);
});

test("every form of a Service's name, and Host as the client wrote it", async () => {
  for (const host of ["server", "server.default", "server.default.svc", "server.default.svc.cluster.local"]) {
    assert.equal((await ask(`http://${host}/`)).headers["host"], host);
  }
});

test("a headless Service: each pod by its own name, all of them by the Service's", async () => {
  for (const pod of ["set-0", "set-1"]) {
    for (const host of [`${pod}.set`, `${pod}.set.default.svc.cluster.local`]) {
      const asked = await ask(`http://${host}:8080/`);
      assert.equal(asked.pod, pod);
      assert.equal(caller(asked), "client");
      assert.equal(await hello(host, 7001), `hello from ${pod}\n`);
    }
  }
  const seen = new Set<string>();
  const addresses = (await mesh.exec("client", "getent", "ahostsv4", "set")).stdout
    .split("\n")
    .map((line) => line.split(" ")[0]!);
  for (const address of new Set(addresses.filter((text) => text !== ""))) {
    seen.add((await ask(`http://${address}:8080/`)).pod);
  }
  assert.deepEqual([...seen].sort(), ["set-0", "set-1"]);
  assert.match((await ask("http://set:8080/")).pod, /^set-[01]$/);
});
