/** Equal endpoints get equal load, by every method and protocol; one that refuses is left out and comes back. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { lbMethods } from "../../src/api/policies.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { setRefusing } from "./wire.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, manifest, service, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;

/** A Service for each method, in front of the same three pods. */
function methodService(index: number): string {
  return `by-${index}`;
}

before(async () => {
  const services = lbMethods.map((method, i) =>
    service(methodService(i), { app: "server" }, anything, {
      annotations: { "config.nsm.nginx.com/lb-method": method },
    }),
  );
  mesh = await startMesh({
    "server.yaml": workload({
      name: "server",
      replicas: 3,
      ports: anything,
      probe: anythingReady,
      env: { OFFLINE: "7443" },
    }),
    "methods.yaml": manifest(...services),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

type Counts = Record<string, number>;

/** Pearson's statistic against equal shares; with 3 endpoints 18.4 is exceeded by chance once in 10,000 times. */
function assertEqualLoad(counts: Counts, endpoints = 3): void {
  const values = Object.values(counts);
  assert.equal(values.length, endpoints, JSON.stringify(counts));
  const expected = values.reduce((sum, value) => sum + value, 0) / endpoints;
  const statistic = values.reduce((sum, value) => sum + (value - expected) ** 2 / expected, 0);
  assert.ok(statistic < 18.4, `chi-squared ${statistic.toFixed(1)}: ${JSON.stringify(counts)}`);
}

function http(host: string, count: number, kept: boolean): Promise<Counts> {
  return client.run(
    async (tools, given) => {
      const agent = given.kept ? new tools.http.Agent({ keepAlive: true, maxSockets: 4 }) : (false as const);
      const counts: Record<string, number> = {};
      const one = async (): Promise<void> => {
        const answer = await tools.get(`http://${given.host}/`, { agent });
        const by = String(answer.headers["served-by"]);
        counts[by] = (counts[by] ?? 0) + 1;
      };
      for (let i = 0; i < given.count; i += 4) {
        await Promise.all([one(), one(), one(), one()]);
      }
      if (agent !== false) {
        agent.destroy();
      }
      return counts;
    },
    { host, count, kept },
  );
}

function tcp(host: string, count: number): Promise<Counts> {
  return client.run(
    async (tools, given) => {
      const counts: Record<string, number> = {};
      for (let i = 0; i < given.count; i += 1) {
        const { text } = await tools.raw(given.host, 7001, { until: "\n" });
        counts[text] = (counts[text] ?? 0) + 1;
      }
      return counts;
    },
    { host, count },
  );
}

function grpc(host: string, count: number): Promise<Counts> {
  return client.run(
    async (tools, given) => {
      const stub = tools.grpcClient(`${given.host}:50051`);
      const counts: Record<string, number> = {};
      for (let i = 0; i < given.count; i += 1) {
        const by = String((await tools.call(stub, "unary", "x")).headers["served-by"]);
        counts[by] = (counts[by] ?? 0) + 1;
      }
      return counts;
    },
    { host, count },
  );
}

for (const [i, method] of lbMethods.entries()) {
  test(`${method}: in force, and equal load over equal endpoints`, async () => {
    const name = methodService(i);
    assertEqualLoad(await http(name, 240, true));
    const { destinations } = await sidecarStatus(await mesh.pod("client"));
    const used = destinations?.find((entry) => entry.destination.includes(`${name} port 80`));
    assert.equal(used?.balancing, method);
  });
}

test("least_time is the default, and equal for HTTP with and without keep-alive, gRPC over one connection, TCP", async () => {
  assertEqualLoad(await http("server", 600, true));
  assertEqualLoad(await http("server", 300, false));
  assertEqualLoad(await grpc("server", 300));
  assertEqualLoad(await tcp("server", 150));
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  assert.equal(
    destinations?.find((entry) => entry.destination.includes("/server port 80"))?.balancing,
    "least_time",
  );
});

test("an endpoint that cannot be reached is set aside without a failed request, and gets its share when it is back", async () => {
  const { pods } = await mesh.view();
  const victim = pods.find((pod) => pod.owner === "deployment/server")!;
  await setRefusing(mesh, victim, true);
  const failed = await client.run(async (tools) => {
    let count = 0;
    for (let i = 0; i < 60; i += 1) {
      const answer = await tools.get("http://server/", { agent: false });
      count += answer.status === 200 ? 0 : 1;
    }
    return count;
  }, 0);
  assert.equal(failed, 0);
  const aside = (await endpoints()).find((endpoint) => endpoint.address === victim.address);
  assert.equal(aside?.state, "set aside");
  await setRefusing(mesh, victim, false);
  // the pause doubles from one second with each probe that fails
  let state = "";
  for (let i = 0; i < 40 && state !== "ready"; i += 1) {
    await http("server", 12, false);
    state = (await endpoints()).find((endpoint) => endpoint.address === victim.address)?.state ?? "";
    await sleep(250);
  }
  assert.equal(state, "ready");
  assertEqualLoad(await http("server", 240, true));
});

async function endpoints(): Promise<readonly { address: string; state: string }[]> {
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  return destinations?.find((entry) => entry.destination.includes("/server port 80"))?.endpoints ?? [];
}
