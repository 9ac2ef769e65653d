/** Most of a Service's applications are down, as when many pods end at once and nobody tells the sidecars. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anything, anythingReady, idle, manifest, service, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
const services = Array.from({ length: 12 }, (_, i) => `service-${i}`);

before(async () => {
  const labels = { group: "mixed" };
  mesh = await startMesh({
    "up.yaml": workload({ name: "up", labels, ports: anything, probe: anythingReady }),
    // their sidecars live, and nothing listens behind them
    "down.yaml": workload({
      name: "down",
      labels,
      replicas: 5,
      ports: anything,
      command: ["sleep", "1000000"],
    }),
    "services.yaml": manifest(...services.map((name) => service(name, labels, anything))),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

for (const method of ["GET", "POST"]) {
  test(`${method}: the first request to each Service finds the one that answers`, async () => {
    // each Service's endpoints are known for their own, so that each of these requests meets those that are down
    const half = method === "GET" ? services.slice(0, 6) : services.slice(6);
    const statuses = await client.run(
      async (tools, given) => {
        const seen: number[] = [];
        for (const name of given.half) {
          seen.push((await tools.get(`http://${name}/`, { method: given.method, agent: false })).status);
        }
        return seen;
      },
      { half, method },
    );
    assert.deepEqual(
      statuses,
      half.map(() => 200),
    );
  });
}
