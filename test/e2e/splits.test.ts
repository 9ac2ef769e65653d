/** TrafficSplit: shares by weight for HTTP, gRPC and TCP, changes under way, matches, headless root Services. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { type DestinationStatus, showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, manifest, service, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;

function split(name: string, weights: Readonly<Record<string, number>>, matches?: readonly string[]): object {
  return {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name },
    spec: {
      service: name,
      backends: Object.entries(weights).map(([backend, weight]) => ({ service: backend, weight })),
      ...(matches === undefined
        ? {}
        : { matches: matches.map((group) => ({ kind: "HTTPRouteGroup", name: group })) }),
    },
  };
}

const group = {
  apiVersion: "specs.smi-spec.io/v1alpha3",
  kind: "HTTPRouteGroup",
  metadata: { name: "beta" },
  spec: {
    matches: [
      { name: "by-path", pathRegex: "/beta/.*", methods: ["GET"] },
      { name: "by-header", headers: { "x-user": "tester.*" } },
    ],
  },
};

before(async () => {
  const version = (name: string): string =>
    workload({
      name,
      ports: anything,
      probe: anythingReady,
      labels: { role: "any" },
      env: { OFFLINE: "7443" },
    });
  const podPorts = [
    { name: "http", port: 8080 },
    { name: "grpc", port: 50051 },
    { name: "tcp", port: 7001 },
  ];
  mesh = await startMesh({
    "v1.yaml": version("v1"),
    "v2.yaml": version("v2"),
    "root.yaml": manifest(service("root", { role: "any" }, anything)),
    "matched.yaml": manifest(
      service("matched", { app: "v1" }, anything),
      group,
      split("matched", { v2: 1 }, ["beta"]),
    ),
    "headless.yaml": manifest(
      service("headless", { app: "v1" }, podPorts, { headless: true }),
      service("plain1", { app: "v1" }, podPorts),
      service("plain2", { app: "v2" }, podPorts),
      split("headless", { plain1: 1, plain2: 3 }),
    ),
    "split.yaml": manifest(split("root", { v1: 75, v2: 25 })),
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

/** Which version served, of so many requests or connections. */
function served(kind: "http" | "grpc" | "tcp", host: string, count: number): Promise<Counts> {
  return client.run(
    async (tools, given) => {
      const port = (number: number): number => (given.host === "headless" && number === 80 ? 8080 : number);
      const stub = tools.grpcClient(`${given.host}:50051`);
      const agent = new tools.http.Agent({ keepAlive: true, maxSockets: 1 });
      const counts: Record<string, number> = {};
      for (let i = 0; i < given.count; i += 1) {
        let by = "";
        if (given.kind === "http") {
          by = String((await tools.get(`http://${given.host}:${port(80)}/`, { agent })).headers["served-by"]);
        } else if (given.kind === "grpc") {
          by = String((await tools.call(stub, "unary", "x")).headers["served-by"]);
        } else {
          by = (await tools.raw(given.host, 7001, { until: "\n" })).text.replace("hello from ", "");
        }
        const version = by.replace(/-.*\s*$/, "");
        counts[version] = (counts[version] ?? 0) + 1;
      }
      agent.destroy();
      stub.close();
      return counts;
    },
    { kind, host, count },
  );
}

/** Within four standard deviations of the binomial distribution: a false alarm once in 16,000 times. */
function assertShare(counts: Counts, version: string, share: number): void {
  const total = Object.values(counts).reduce((sum, value) => sum + value, 0);
  const allowed = 4 * Math.sqrt(total * share * (1 - share));
  const difference = Math.abs((counts[version] ?? 0) - total * share);
  assert.ok(difference <= allowed, `${version}: ${JSON.stringify(counts)}, wanted ${share * 100} %`);
}

for (const [kind, count] of [
  ["http", 600],
  ["grpc", 400],
  ["tcp", 240],
] as const) {
  test(`${kind}: shares are those of the weights, over one connection of the client too`, async () => {
    const counts = await served(kind, "root", count);
    assert.deepEqual(Object.keys(counts).sort(), ["v1", "v2"]);
    assertShare(counts, "v2", 0.25);
  });
}

/** Changes the weights; resolves when the client's sidecar has them. */
async function change(weights: Readonly<Record<string, number>>): Promise<void> {
  mesh.write("split.yaml", manifest(split("root", weights)));
  const end = Date.now() + 5000;
  const positive = Object.entries(weights).filter(([, weight]) => weight > 0);
  const wanted = JSON.stringify(positive.map(([name, weight]) => [`default/${name}`, weight]));
  const inForce = ({ backends }: DestinationStatus): boolean =>
    JSON.stringify(backends?.map(({ service: name, weight }) => [name, weight])) === wanted;
  for (;;) {
    const { destinations } = await sidecarStatus(await mesh.pod("client"));
    const root = destinations?.filter((entry) => entry.destination.includes("/root port")) ?? [];
    if (root.length > 0 && root.every(inForce)) {
      return;
    }
    assert.ok(Date.now() < end, `weights ${wanted} are not in force: ${JSON.stringify(root)}`);
  }
}

test("a changed weight applies to the next request, on connections that are open", async () => {
  for (const [kind, count] of [
    ["http", 60],
    ["grpc", 60],
    ["tcp", 20],
  ] as const) {
    await change({ v1: 0, v2: 100 });
    assert.deepEqual(await served(kind, "root", count), { v2: count });
    await change({ v1: 100, v2: 0 });
    assert.deepEqual(await served(kind, "root", count), { v1: count });
  }
  await change({ v1: 1, v2: 1 });
  assertShare(await served("http", "root", 400), "v2", 0.5);
});

test("matches: path, method and header decide; what matches none goes to the root Service", async () => {
  const table: readonly (readonly [string, string, Record<string, string>, string])[] = [
    ["GET", "/", {}, "v1"],
    ["GET", "/beta/x", {}, "v2"],
    ["GET", "/beta/x?y=1", {}, "v2"],
    ["POST", "/beta/x", {}, "v1"],
    ["GET", "/not/beta/x", {}, "v1"],
    ["POST", "/", { "x-user": "tester7" }, "v2"],
    ["POST", "/", { "X-User": "tester" }, "v2"],
    ["POST", "/", { "x-user": "a tester" }, "v1"],
    ["POST", "/", { "x-other": "tester" }, "v1"],
  ];
  for (const [method, path, headers, version] of table) {
    const answer = await client.run(
      (tools, given) =>
        tools.get(`http://matched${given.path}`, { method: given.method, headers: given.headers }),
      { method, path, headers },
    );
    assert.match(
      String(answer.headers["served-by"]),
      new RegExp(`^${version}-`),
      `${method} ${path} ${JSON.stringify(headers)}`,
    );
  }
});

test("one connection of a client sees the change: keep-alive", async () => {
  /** Asks over the same connection until the version answers, up to `times`; resolves with all that answered. */
  const until = (version: string, times: number): Promise<string[]> =>
    client.run(
      async (tools, given) => {
        const kept = globalThis as { agent?: InstanceType<typeof tools.http.Agent> };
        kept.agent ??= new tools.http.Agent({ keepAlive: true, maxSockets: 1 });
        const seen = new Set<string>();
        for (let i = 0; i < given.times && !seen.has(given.version); i += 1) {
          const { headers } = await tools.get("http://matched/", { agent: kept.agent });
          seen.add(String(headers["served-by"]).replace(/-.*/, ""));
          await tools.timers.setTimeout(50);
        }
        return [...seen];
      },
      { version, times },
    );
  assert.deepEqual(await until("v1", 1), ["v1"]);
  const changed = split("matched", { v2: 1 });
  mesh.write("matched.yaml", manifest(service("matched", { app: "v1" }, anything), group, changed));
  assert.ok((await until("v2", 100)).includes("v2"));
});

test("a headless root Service is split too", async () => {
  for (const [kind, count] of [
    ["http", 200],
    ["grpc", 120],
    ["tcp", 80],
  ] as const) {
    assertShare(await served(kind, "headless", count), "v2", 0.75);
  }
});

test("without the split, traffic goes to the root Service's own endpoints again", async () => {
  await change({ v1: 0, v2: 100 });
  mesh.write("split.yaml", undefined);
  await client.run((tools) => tools.timers.setTimeout(500), 0);
  assertShare(await served("http", "root", 200), "v1", 0.5);
});
