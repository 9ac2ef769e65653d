/** HTTP/1.1: how large headers and bodies may be, and what is said of larger ones. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import type { Answer } from "./apps/tools.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
    "big.yaml": workload({
      name: "big",
      ports: anything,
      probe: anythingReady,
      annotations: { "config.nsm.nginx.com/client-max-body-size": "0" },
    }),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

interface Asked {
  readonly headers: Record<string, string>;
  readonly bytes: number;
}

function asked(answer: Answer): Asked {
  assert.equal(answer.status, 200, answer.body);
  return JSON.parse(answer.body) as Asked;
}

test("headers of 32 KiB pass in both directions, one long and many", async () => {
  const long = "x".repeat(31 * 1024);
  const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`x-${i}`, "y".repeat(330)]));
  const answers = await client.run(
    async (tools, given) => [
      await tools.get("http://server/", { headers: { "x-long": given.long } }),
      await tools.get("http://server/", { headers: given.many }),
    ],
    { long, many },
  );
  assert.equal(asked(answers[0]!).headers["x-long"], long);
  assert.equal(asked(answers[1]!).headers["x-89"], many["x-89"]);
  const script = `HTTP/1.1 200 OK\r\nX-Long: ${long}\r\nContent-Length: 2\r\n\r\nok`;
  const response = await client.run(
    (tools, given) => tools.get("http://server:81/", { path: `/raw/${given}`, maxHeaderSize: 131_072 }),
    Buffer.from(script).toString("base64url"),
  );
  assert.equal(response.status, 200);
  assert.equal(response.headers["x-long"], long);
});

test("headers that are too long are refused with a reason", async () => {
  const { text } = await client.run(
    (tools, size) =>
      tools.raw("server", 80, {
        send: `GET / HTTP/1.1\r\nHost: server\r\nX-Long: ${"x".repeat(size)}\r\n\r\n`,
        until: "nginx-mesh:",
      }),
    300_000,
  );
  assert.match(text, /^HTTP\/1.1 431 /);
  assert.match(text, /^Nginx-Mesh-Error: header-too-large\r$/m);
});

test("client-max-body-size: 1m by default, 413 in plain text; 0 is unlimited", async () => {
  const post = (host: string, size: number): Promise<Answer> =>
    client.run(
      (tools, given) => tools.get(`http://${given.host}/`, { method: "POST" }, "x".repeat(given.size)),
      { host, size },
    );
  assert.equal(asked(await post("server", 1024 * 1024)).bytes, 1024 * 1024);
  const refused = await post("server", 1024 * 1024 + 1);
  assert.equal(refused.status, 413);
  assert.equal(refused.headers["content-type"], "text/plain");
  assert.equal(refused.headers["nginx-mesh-error"], "body-too-large");
  assert.match(refused.body, /^nginx-mesh: .*client-max-body-size/);
  assert.equal(asked(await post("big", 3 * 1024 * 1024)).bytes, 3 * 1024 * 1024);
});

test("a chunked body over client-max-body-size is refused too", async () => {
  const answer = await client.run(
    (tools) =>
      new Promise<{ status: number; error: unknown }>((resolve, reject) => {
        const request = tools.http.request("http://server/", { method: "POST" }, (response) => {
          response.resume();
          resolve({ status: response.statusCode ?? 0, error: response.headers["nginx-mesh-error"] });
        });
        request.on("error", reject);
        for (let i = 0; i < 20; i += 1) {
          request.write("x".repeat(100_000));
        }
        request.end();
      }),
    0,
  );
  assert.deepEqual(answer, { status: 413, error: "body-too-large" });
});
