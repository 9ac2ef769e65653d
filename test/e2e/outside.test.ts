/** To and from outside the mesh: addresses that the mesh does not know. */
import assert from "node:assert/strict";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { hostAddress } from "./outside.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let permissive: PodClient;
let strict: PodClient;
let http: HttpServer;
let speaker: Server;
/** An address of this machine that pods reach over the uplink. */
let host = "";

before(async () => {
  mesh = await startMesh({
    "permissive.yaml": idle("permissive"),
    "strict.yaml": idle("strict", { annotations: { "config.nsm.nginx.com/mtls-mode": "strict" } }),
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
  });
  permissive = startPodClient(mesh, "permissive");
  strict = startPodClient(mesh, "strict");
  host = hostAddress(await mesh.pod("server"));
  http = createHttpServer((request, response) => {
    response.end(
      JSON.stringify({
        headers: request.rawHeaders,
        port: request.socket.localPort,
        address: request.socket.localAddress,
      }),
    );
  });
  speaker = createServer((socket) => socket.end("outside speaks first"));
  await new Promise<void>((resolve) => http.listen(0, host, resolve));
  await new Promise<void>((resolve) => speaker.listen(0, host, resolve));
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  permissive?.stop();
  strict?.stop();
  http?.close();
  http?.closeAllConnections();
  speaker?.close();
  await mesh?.stop();
});

function port(server: Server): number {
  return (server.address() as AddressInfo).port;
}

test("permissive: passes through unchanged, to the address and port that were meant", async () => {
  const answer = await permissive.run(
    (tools, url) => tools.get(url, { headers: { x_Odd: "1" } }),
    `http://${host}:${port(http)}/a//b`,
  );
  const asked = JSON.parse(answer.body) as { headers: string[]; port: number; address: string };
  assert.equal(asked.port, port(http));
  assert.equal(asked.address, host);
  assert.ok(asked.headers.includes("x_Odd"));
  assert.ok(!asked.headers.some((name) => /forwarded|client-cert/i.test(name)));
});

test("permissive: a server outside that speaks first", async () => {
  const answer = await permissive.run((tools, given) => tools.raw(given.host, given.port, {}), {
    host,
    port: port(speaker),
  });
  assert.equal(answer.text, "outside speaks first");
});

test("permissive: a port outside where nothing listens closes the connection", async () => {
  const answer = await permissive.run(
    (tools, given) => tools.raw(given, 1, { send: "x", timeout: 4000 }),
    host,
  );
  assert.equal(answer.text, "");
  assert.match(answer.ended, /closed|reset/);
});

test("strict: refused with a reason", async () => {
  const answer = await strict.run((tools, url) => tools.get(url), `http://${host}:${port(http)}/`);
  assert.equal(answer.status, 502);
  assert.ok(answer.headers["nginx-mesh-error"] !== undefined);
  assert.equal(answer.headers["content-type"], "text/plain");
  assert.match(answer.body, /^nginx-mesh: /);
  const first = await strict.run((tools, given) => tools.raw(given.host, given.port, { timeout: 4000 }), {
    host,
    port: port(speaker),
  });
  assert.equal(first.text, "");
  assert.match(first.ended, /closed|reset/);
});

test("strict: inside the mesh all is well", async () => {
  const answer = await strict.run((tools) => tools.get("http://server/"), 0);
  assert.equal(answer.status, 200);
});

test("ignore-outgoing-ports: the sidecar sees nothing of it", async () => {
  mesh.write(
    "ignoring.yaml",
    idle("ignoring", {
      annotations: {
        "config.nsm.nginx.com/mtls-mode": "strict",
        "config.nsm.nginx.com/ignore-outgoing-ports": String(port(http)),
      },
    }),
  );
  await mesh.until("ignoring", (view) =>
    view.pods.some((pod) => pod.owner.endsWith("/ignoring") && pod.ready),
  );
  const ended = await mesh.exec(
    "ignoring",
    "curl",
    "-sS",
    "--max-time",
    "5",
    `http://${host}:${port(http)}/`,
  );
  assert.match(ended.stdout, /"port":/, ended.stderr);
});
