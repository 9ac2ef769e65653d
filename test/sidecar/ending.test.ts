/** A sidecar with more connections than nginx made room for ends as one with few does. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { manifest } from "../e2e/workload.ts";
import { type BareMesh, type Ended, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;
const address = "10.99.0.10";
const count = 600;

before(async () => {
  mesh = await startBareMesh({
    manifests: manifest(
      deployment("web"),
      service("web", "web", [{ name: "http", port: 80, target: 8080 }]),
      deployment("client"),
    ),
    services: { web: [address] },
    serviceRanges: ["10.99.0.0/24"],
    pods: [
      { name: "web", addresses: ["10.66.0.2"], app: "e2e/apps/echo.ts" },
      { name: "client", addresses: ["10.66.0.3"] },
    ],
  });
  for (const pod of ["web", "client"]) {
    await mesh.until(`${pod} is ready`, async () => (await mesh.status(pod)).ready);
  }
  await mesh.until("the application answers", async () => {
    const { stdout } = await mesh.run("client", "curl", "-s", "-w", "%{http_code}", `http://${address}/`);
    return stdout.endsWith("200");
  });
});

after(() => mesh?.stop());

/** Has one request answered on each of the connections, and leaves them open until the sidecar closes the last. */
const idle = `
  const { connect } = require("node:net");
  let answered = 0;
  let closed = 0;
  for (let i = 0; i < ${count}; i += 1) {
    const socket = connect(80, "${address}", () => socket.write("GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n"));
    socket.once("data", () => (answered += 1));
    socket.on("data", () => undefined);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      closed += 1;
      if (closed === ${count}) {
        console.log(answered);
      }
    });
  }
`;

interface Connections {
  readonly handshakes: unknown;
  readonly destinations?: readonly { readonly endpoints?: readonly { readonly requests: number }[] }[];
}

test("idle connections are closed at once, also those beyond nginx's own", async () => {
  const clients: Promise<Ended> = mesh.run("client", process.execPath, "-e", idle);
  await mesh.until("all are answered", async () => {
    const { destinations } = (await mesh.status("client")) as unknown as Connections;
    const requests = destinations?.flatMap(({ endpoints }) => endpoints ?? []).map((each) => each.requests);
    return (requests?.[0] ?? 0) > count;
  });
  const begun = Date.now();
  await mesh.endSidecar("client", "SIGQUIT");
  assert.ok(Date.now() - begun < 5_000, `${Date.now() - begun} ms`);
  assert.equal((await clients).stdout.trim(), String(count));
});
