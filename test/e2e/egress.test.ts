/**
 * Traffic that leaves the mesh through an ingress controller: pods whose nginx listens as NGINX Ingress Controller does
 * with -enable-internal-routes: one server that asks for a certificate, and one for each host without.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PodView } from "../../src/local/control.ts";
import { type RunningController, startController } from "./ingress-controller.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { hostAddress } from "./outside.ts";
import { type PodClient, startPodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { authorityIn, bundlePem, type Pem, pemOf } from "./svids.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

const egress = { "config.nsm.nginx.com/default-egress-allowed": "true" };
const strictMode = { "config.nsm.nginx.com/mtls-mode": "strict" };
/** Nobody has this address (RFC 5737): what is answered came through the egress. */
const nowhere = "192.0.2.1";

let mesh: TestMesh;
let bundle = "";
let right: Pem;
const wrong = new Map<string, Pem>();
const folder = mkdtempSync(join(tmpdir(), "nm-authority-"));
let clients: Readonly<Record<"permissive" | "strict" | "unannotated" | "closed", PodClient>>;
let http: HttpServer;
let speaker: Server;
let host = "";
let legacy = "";

function gates(replicas: number): string {
  return idle("gate", {
    replicas,
    labels: { "nsm.nginx.com/enable-egress": "true" },
    meshed: true,
  });
}

async function makeSvids(): Promise<void> {
  const authority = await authorityIn(mesh.layout.authority);
  const foreign = await authorityIn(folder);
  const id = (account: string): string => `spiffe://example.org/ns/default/sa/${account}`;
  bundle = bundlePem(authority);
  right = pemOf(await authority.issue({ spiffeId: id("gate"), ttlSeconds: 600 }));
  wrong.set("another's", pemOf(await authority.issue({ spiffeId: id("strict"), ttlSeconds: 600 })));
  wrong.set("expired", pemOf(await authority.issue({ spiffeId: id("gate"), ttlSeconds: 1 })));
  wrong.set("of another CA", pemOf(await foreign.issue({ spiffeId: id("gate"), ttlSeconds: 600 })));
  await authority.close();
  await foreign.close();
}

before(async () => {
  mesh = await startMesh({
    "permissive.yaml": idle("permissive", { annotations: egress }),
    "strict.yaml": idle("strict", { annotations: { ...egress, ...strictMode } }),
    "unannotated.yaml": idle("unannotated"),
    "closed.yaml": idle("closed", { annotations: strictMode }),
    "legacy.yaml": workload({ name: "legacy", ports: anything, probe: anythingReady, meshed: false }),
    "web.yaml": workload({ name: "web", ports: anything, probe: anythingReady }),
    "gate.yaml": gates(2),
  });
  clients = {
    permissive: startPodClient(mesh, "permissive"),
    strict: startPodClient(mesh, "strict"),
    unannotated: startPodClient(mesh, "unannotated"),
    closed: startPodClient(mesh, "closed"),
  };
  host = hostAddress(await mesh.pod("web"));
  legacy = (await mesh.pod("legacy")).address;
  http = createHttpServer((request, response) => {
    let size = 0;
    request.on("data", (chunk: Buffer) => (size += chunk.length));
    request.on("end", () =>
      response.end(JSON.stringify({ url: request.url, headers: request.headers, size })),
    );
  });
  speaker = createServer((socket) => socket.end("outside speaks first"));
  await new Promise<void>((resolve) => http.listen(0, host, resolve));
  await new Promise<void>((resolve) => speaker.listen(0, host, resolve));
  await makeSvids();
  await sleep(2500);
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  Object.values(clients ?? {}).forEach((client) => client.stop());
  http?.close();
  http?.closeAllConnections();
  speaker?.close();
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function port(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** What the gate tells the other side of who came to it. */
function evidence(name: string): string {
  return `proxy_set_header X-Gate ${name};
        proxy_set_header X-Gate-Client $ssl_client_escaped_cert;
        proxy_set_header X-Gate-Name $ssl_server_name;
        proxy_set_header Host $host;
        proxy_http_version 1.1;
        proxy_request_buffering off;`;
}

function startGate(pod: PodView, svid: Pem): Promise<RunningController> {
  const files = { svid, bundle };
  const tls = (path: string): string =>
    `listen 443 ssl; http2 on; ssl_certificate ${path}/svid.pem; ssl_certificate_key ${path}/key.pem;`;
  return startController(mesh, pod, files, {
    http: (path) => `
server {
    listen 443 ssl default_server;
    ssl_certificate ${path}/svid.pem;
    ssl_certificate_key ${path}/key.pem;
    return 404 "no internal route for this host";
}
server {
    ${tls(path)}
    server_name gate.default.svc;
    ssl_client_certificate ${path}/bundle.pem;
    ssl_verify_client on;
    ssl_verify_depth 25;
}
server {
    ${tls(path)}
    server_name outside.example;
    client_max_body_size 0;
    location / { ${evidence(pod.name)} proxy_pass http://${host}:${port(http)}; }
}
server {
    ${tls(path)}
    server_name legacy;
    location / { ${evidence(pod.name)} proxy_pass http://${legacy}:8080; }
    location /test.Anything/ { grpc_pass grpc://${legacy}:50051; }
}`,
  });
}

async function gatePods(): Promise<readonly PodView[]> {
  return (await mesh.view()).pods.filter(({ owner, terminating }) => owner.endsWith("/gate") && !terminating);
}

async function withGates(
  svid: Pem,
  work: (gates: readonly RunningController[]) => Promise<void>,
): Promise<void> {
  const running = await Promise.all((await gatePods()).map((pod) => startGate(pod, svid)));
  try {
    await work(running);
  } finally {
    await Promise.all(running.map((gate) => gate.stop()));
  }
}

interface Asked {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly size: number;
}

function ask(
  client: PodClient,
  url: string,
  name = "outside.example",
): Promise<{ readonly status: number; readonly body: string; readonly headers: Record<string, unknown> }> {
  return client.run((tools, given) => tools.get(given.url, { headers: { host: given.name }, agent: false }), {
    url,
    name,
  });
}

for (const name of ["permissive", "strict"] as const) {
  test(`${name}: HTTP to the outside goes through the egress over mTLS; host and path are unchanged`, async () => {
    await withGates(right, async () => {
      for (const authority of [nowhere, `${nowhere}:8080`, `${host}:${port(http)}`]) {
        const answer = await ask(clients[name], `http://${authority}/a//b?c=%20d`);
        assert.equal(answer.status, 200, `${authority}: ${answer.body}`);
        const { url, headers } = JSON.parse(answer.body) as Asked;
        assert.equal(url, "/a//b?c=%20d");
        assert.equal(headers["host"], "outside.example");
        assert.match(headers["x-gate"]!, /^gate-/);
        assert.equal(headers["x-gate-name"], "gate.default.svc");
        const certificate = new X509Certificate(decodeURIComponent(headers["x-gate-client"]!));
        assert.match(
          certificate.subjectAltName ?? "",
          new RegExp(`URI:spiffe://example.org/ns/default/sa/${name}$`),
        );
      }
    });
  });

  test(`${name}: a Service without sidecars is outside too, for HTTP and gRPC`, async () => {
    await withGates(right, async () => {
      const { status, body } = await ask(clients[name], "http://legacy/x", "legacy");
      assert.equal(status, 200, body);
      assert.match((JSON.parse(body) as Asked).headers["x-gate"] ?? "", /^gate-/);
      const call = await clients[name].run(
        (tools) => tools.call(tools.grpcClient("legacy:50051"), "unary", "hello"),
        0,
      );
      assert.equal(call.code, 0, call.details);
    });
  });
}

test("a pod of the mesh is reached as ever", async () => {
  await withGates(right, async () => {
    for (const client of [clients.permissive, clients.strict]) {
      const { status, body } = await ask(client, "http://web/", "web");
      assert.equal(status, 200);
      const { headers } = JSON.parse(body) as Asked;
      assert.equal(headers["x-gate"], undefined);
      assert.match(headers["x-forwarded-client-cert"] ?? "", /sa\/web;URI=/);
    }
  });
});

test("a body that comes in parts, and requests on one connection", async () => {
  await withGates(right, async () => {
    const sizes = await clients.strict.run(async (tools, url) => {
      const agent = new tools.http.Agent({ keepAlive: true, maxSockets: 1 });
      const seen: number[] = [];
      for (const size of [0, 10, 100_000, 3_000_000]) {
        const headers = { host: "outside.example", "transfer-encoding": "chunked" };
        const answer = await tools.get(url, { method: "POST", headers, agent }, "x".repeat(size));
        seen.push((JSON.parse(answer.body) as { size: number }).size);
      }
      agent.destroy();
      return seen;
    }, `http://${nowhere}/`);
    assert.deepEqual(sizes, [0, 10, 100_000, 3_000_000]);
  });
});

test("without the annotation: permissive passes through unchanged, strict refuses", async () => {
  await withGates(right, async () => {
    const direct = await ask(clients.unannotated, `http://${host}:${port(http)}/`);
    assert.equal(direct.status, 200);
    assert.equal((JSON.parse(direct.body) as Asked).headers["x-gate"], undefined);
    const refused = await ask(clients.closed, `http://${host}:${port(http)}/`);
    assert.deepEqual([refused.status, refused.headers["nginx-mesh-error"]], [502, "unknown-service"]);
  });
});

test("other protocols pass in permissive mode, also where the server speaks first; strict lets none pass", async () => {
  await withGates(right, async () => {
    const speak = (client: PodClient) =>
      client.run((tools, given) => tools.raw(given.host, given.port, { timeout: 4000 }), {
        host,
        port: port(speaker),
      });
    const passed = await speak(clients.permissive);
    assert.equal(passed.text, "outside speaks first");
    assert.ok(passed.firstByteMs < 1000, `${passed.firstByteMs} ms`);
    assert.equal((await speak(clients.strict)).text, "");
    const redis = (client: PodClient) =>
      client.run(
        (tools, given) =>
          tools.raw(given.host, given.port, { send: "GET /key\r\n", end: true, timeout: 4000 }),
        { host: legacy, port: 7000 },
      );
    assert.equal((await redis(clients.permissive)).text, "GET /key\r\n");
  });
});

test("requests are spread; when one egress is down the other takes all", async () => {
  await withGates(right, async ([first]) => {
    const gatesOf = async (count: number): Promise<readonly (string | undefined)[]> => {
      const seen = [];
      for (let i = 0; i < count; i += 1) {
        const { status, body } = await ask(clients.strict, `http://${nowhere}/`);
        assert.equal(status, 200, body);
        seen.push((JSON.parse(body) as Asked).headers["x-gate"]);
      }
      return seen;
    };
    assert.equal(new Set(await gatesOf(40)).size, 2);
    await first!.stop();
    assert.equal(new Set((await gatesOf(20)).slice(-10)).size, 1);
  });
});

for (const what of ["another's", "expired", "of another CA"]) {
  test(`an egress whose SVID is ${what} gets nothing`, async () => {
    await withGates(wrong.get(what)!, async (running) => {
      for (const client of [clients.permissive, clients.strict]) {
        const { status, headers, body } = await ask(client, `http://${nowhere}/secret`);
        assert.equal(status, 502, body);
        assert.match(String(headers["nginx-mesh-error"]), /upstream-failed/);
      }
      assert.ok(running.every((gate) => !gate.log().includes("secret")));
    });
    // endpoints that failed are tried again after a while
    await sleep(3000);
  });
}

test("without a ready egress: permissive as without it, strict says why", async () => {
  mesh.write("gate.yaml", gates(0));
  await mesh.until("no gates", ({ pods }) => !pods.some(({ owner }) => owner.endsWith("/gate")));
  await sleep(500);
  const direct = await ask(clients.permissive, `http://${host}:${port(http)}/`);
  assert.equal(direct.status, 200);
  assert.equal((JSON.parse(direct.body) as Asked).headers["x-gate"], undefined);
  const refused = await ask(clients.strict, `http://${nowhere}/`);
  assert.deepEqual([refused.status, refused.headers["nginx-mesh-error"]], [503, "no-endpoint"]);
  assert.match(refused.body, /no ready pod is labelled nsm.nginx.com\/enable-egress/);
  mesh.write("gate.yaml", gates(1));
  await mesh.until("a gate", ({ pods }) => pods.some(({ owner, ready }) => owner.endsWith("/gate") && ready));
  await withGates(right, async () => {
    await sleep(500);
    assert.equal((await ask(clients.strict, `http://${nowhere}/`)).status, 200);
  });
});
