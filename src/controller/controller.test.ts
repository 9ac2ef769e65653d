/** The controller as a program: a real NATS server with mTLS, a real Workload API, manifests that change. */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { freePort, type RunningNatsServer, startNatsServer } from "../../test/fixtures/nats-server.ts";
import { type Authority, openAuthority } from "../identity/authority.ts";
import { keepNatsServerFiles, type NatsServerFiles } from "../identity/nats-server-files.ts";
import { natsConnectionOptions } from "../identity/nats-client.ts";
import { serveWorkloadApi, type WorkloadApiServer } from "../identity/workload-api.ts";
import { keySubjectPrefix, statisticsSubject } from "../wire/keys.ts";
import { latencyBuckets, type StatisticsMessage } from "../wire/messages.ts";
import { controllerServiceAccount, controlPlaneNamespace, spiffeId } from "../wire/sidecar.ts";

const trustDomain = "example.org";
const splitFile = "split.yaml";

let directory: string;
let authority: Authority;
let files: NatsServerFiles;
let nats: RunningNatsServer;
let address: string;
let workloadApi: WorkloadApiServer;
let watcher: NatsConnection;
let child: ChildProcess;
let logged = "";

const services = ["shop", "shop-v1", "shop-v2"].map((name) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: "shop" }, ports: [{ name: "http", port: 80 }] },
}));

function split(weight: number): object {
  return {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: "shop" },
    spec: {
      service: "shop",
      backends: [
        { service: "shop-v1", weight },
        { service: "shop-v2", weight: 100 },
      ],
    },
  };
}

const pod = {
  namespace: "default",
  name: "shop-0",
  uid: "1",
  labels: { app: "shop" },
  annotations: {},
  owner: { kind: "deployment", name: "shop" },
  serviceAccount: "shop",
  address: "10.244.0.1",
  ready: true,
  terminating: false,
  meshed: true,
  ports: [],
};

/** Writes as editors and the engine do: another file, then a rename. */
async function replace(path: string, content: unknown): Promise<void> {
  await writeFile(`${path}.new`, typeof content === "string" ? content : JSON.stringify(content));
  await rename(`${path}.new`, path);
}

function manifest(name: string): string {
  return join(directory, "manifests", name);
}

function writeStatus(pods: readonly object[]): Promise<void> {
  const addresses = services.map(({ metadata }, index) => ({
    namespace: "default",
    name: metadata.name,
    addresses: [`10.96.0.${index + 1}`],
  }));
  return replace(join(directory, "status.json"), {
    version: 1,
    serviceRanges: ["10.96.0.0/16"],
    services: addresses,
    pods,
  });
}

function startController(): void {
  const flags = {
    manifests: join(directory, "manifests"),
    status: join(directory, "status.json"),
    nats: address,
    "workload-api": join(directory, "agent.sock"),
    "trust-domain": trustDomain,
    listen: join(directory, "controller.sock"),
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  logged = "";
  child = spawn(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (logged += text));
}

function ask(path: string): Promise<{ status: number; body: any }> {
  return new Promise((resolve, reject) => {
    const message = request({ socketPath: join(directory, "controller.sock"), path }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    message.on("error", reject);
    message.end();
  });
}

async function eventually<T>(what: string, check: () => Promise<T | undefined | false>): Promise<T> {
  const end = Date.now() + 15_000;
  for (;;) {
    const result = await check().catch(() => undefined);
    if (result !== undefined && result !== false) {
      return result;
    }
    assert.ok(Date.now() < end, `${what} does not happen; the controller has logged:\n${logged}`);
    await delay(10);
  }
}

async function published(): Promise<any> {
  return eventually("publication", async () => {
    const { body } = await ask("/status");
    const { configuration, nats: state } = body;
    return configuration.version !== "" && state.publishedVersion === configuration.version && body;
  });
}

/** Value of a key that must come within the time. */
async function nextValue(key: string, change: () => Promise<void>, milliseconds = 5_000): Promise<any> {
  const subscription = watcher.subscribe(`${keySubjectPrefix}${key}`, { max: 1 });
  await watcher.flush();
  await change();
  const timer = setTimeout(() => subscription.unsubscribe(), milliseconds);
  for await (const message of subscription) {
    clearTimeout(timer);
    return message.data.length === 0 ? undefined : message.json();
  }
  throw new Error(`no change of ${key} within ${milliseconds} ms; the controller has logged:\n${logged}`);
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "controller-"));
  authority = await openAuthority({
    directory: join(directory, "ca"),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
  const port = await freePort();
  address = `127.0.0.1:${port}`;
  files = await keepNatsServerFiles({
    directory: join(directory, "nats"),
    authority,
    svidTtlSeconds: 600,
    server: { listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
    serviceAccounts: [{ namespace: "default", name: "shop" }],
    onChanged: () => undefined,
  });
  nats = await startNatsServer(files.configurationFile);
  workloadApi = await serveWorkloadApi({
    socketPath: join(directory, "agent.sock"),
    identity: spiffeId(trustDomain, controlPlaneNamespace, controllerServiceAccount),
    authority,
    svidTtlSeconds: 600,
  });
  await mkdir(join(directory, "manifests"));
  await replace(manifest("services.json"), { apiVersion: "v1", kind: "List", items: services });
  await replace(manifest(splitFile), split(1));
  await writeStatus([pod]);
  startController();
  const svid = await authority.issue({
    spiffeId: spiffeId(trustDomain, "default", "shop"),
    ttlSeconds: 600,
  });
  const identity = { ...svid, bundle: authority.bundle() };
  watcher = await connect(
    natsConnectionOptions({ server: address, trustDomain, serviceAccount: "shop", identity: () => identity }),
  );
});

after(async () => {
  child?.kill("SIGKILL");
  await watcher?.close();
  await nats?.stop();
  await workloadApi?.close();
  await files?.close();
  await authority?.close();
  await rm(directory, { recursive: true });
});

test("what the folder says is in NATS, and told to the tools", async () => {
  const { nats: state, counts } = await published();
  assert.equal(state.connected, true);
  assert.deepEqual(counts, { services: 3, pods: 1, meshedPods: 1, workloads: 1, problems: 0 });
  const { body: config } = await ask("/config");
  assert.deepEqual(config.keys["address.10-96-0-1"], {
    version: 1,
    kind: "service",
    namespace: "default",
    name: "shop",
  });
  const { body: list } = await ask("/services");
  assert.deepEqual(
    list.map((service: any) => [service.name, service.ports[0].upstreams[0].address]),
    services.map(({ metadata }) => [metadata.name, "10.244.0.1"]),
  );
  assert.deepEqual((await ask("/problems")).body, []);
  assert.equal((await ask("/nothing")).status, 404);
});

test("a change of a manifest is published within 50 ms", async () => {
  const times: number[] = [];
  for (let weight = 2; weight < 32; weight += 1) {
    let start = 0;
    const value = await nextValue("service.default.shop", async () => {
      start = performance.now();
      await replace(manifest(splitFile), split(weight));
    });
    times.push(performance.now() - start);
    assert.equal(value.ports[0].route.rules[0].backends[0].weight, weight);
  }
  times.sort((a, b) => a - b);
  assert.ok(times[28]! < 50, `published within ${times.map((time) => time.toFixed(0)).join(", ")} ms`);
});

test("a pod that becomes not ready leaves its Services", async () => {
  const value = await nextValue("service.default.shop-v1", () => writeStatus([{ ...pod, ready: false }]));
  assert.deepEqual(value.ports[0].endpoints, []);
  await nextValue("service.default.shop-v1", () => writeStatus([pod]));
});

test("bad input changes nothing else and is told once", async () => {
  await replace(manifest("bad.yaml"), "kind: Service\n  metadata: [\n");
  const problems = await eventually("a problem", async () => {
    const { body } = await ask("/problems");
    return body.length > 0 && body;
  });
  assert.match(problems[0].object, /^bad\.yaml:\d+:\d+$/);
  const value = await nextValue("service.default.shop", () => replace(manifest(splitFile), split(40)));
  assert.equal(value.ports[0].route.rules[0].backends[0].weight, 40);
  await replace(manifest(splitFile), JSON.stringify(split(1)).replace('"weight":1', '"weight":"1"'));
  await eventually("another problem", async () => (await ask("/problems")).body.length === 2);
  const { body } = await ask("/config");
  assert.equal(body.keys["service.default.shop"].ports[0].route.rules[0].backends[0].weight, 40);
  await rm(manifest("bad.yaml"));
  await replace(manifest(splitFile), split(40));
  await eventually("no problem", async () => (await ask("/problems")).body.length === 0);
  assert.equal(logged.match(/"reason":"InvalidYaml"/g)?.length, 1);
});

test("a folder that cannot be read, or a status that is none, leaves everything in force", async () => {
  const before = (await published()).configuration.version;
  await rename(join(directory, "manifests"), join(directory, "away"));
  await writeFile(join(directory, "status.json"), "{");
  await eventually("an error", async () => {
    const { body } = await ask("/status");
    return body.configuration.error.includes("manifests") && body.configuration.error.includes("status.json");
  });
  assert.equal((await published()).configuration.version, before);
  await rename(join(directory, "away"), join(directory, "manifests"));
  await writeStatus([pod]);
  await eventually("no error", async () => (await ask("/status")).body.configuration.error === "");
  const value = await nextValue(
    "service.default.shop",
    () => replace(manifest(splitFile), split(41)),
    12_000,
  );
  assert.equal(value.ports[0].route.rules[0].backends[0].weight, 41);
});

test("statistics of a sidecar arrive", async () => {
  const message: StatisticsMessage = {
    version: 1,
    namespace: "default",
    pod: "shop-0",
    workload: { namespace: "default", kind: "deployment", name: "shop" },
    worker: 0,
    startedAt: Math.floor(Date.now() / 1000),
    edges: [
      {
        direction: "from",
        protocol: "http",
        identity: "",
        mtls: false,
        total: 5,
        failures: 0,
        latency: [5, ...latencyBuckets.map(() => 0)],
      },
    ],
  };
  watcher.publish(statisticsSubject("default", "shop", "shop-0"), JSON.stringify(message));
  await eventually("traffic", async () => JSON.stringify((await ask("/top")).body).includes("shop"));
});

test("killed and started again, it writes only what changed meanwhile", async () => {
  await published();
  child.kill("SIGKILL");
  await once(child, "exit");
  await replace(manifest(splitFile), split(50));
  const value = await nextValue("service.default.shop", async () => startController(), 10_000);
  assert.equal(value.ports[0].route.rules[0].backends[0].weight, 50);
  const { nats: state } = await published();
  assert.deepEqual({ written: state.written, removed: state.removed }, { written: 1, removed: 0 });
});

test("NATS back with empty storage is filled again", async () => {
  await nats.stop();
  await eventually("the loss", async () => !(await ask("/status")).body.nats.connected);
  await rm(join(directory, "store"), { recursive: true });
  nats = await startNatsServer(files.configurationFile);
  const { nats: state, configuration } = await eventually("filling", async () => {
    const { body } = await ask("/status");
    return body.nats.connected && body.nats.written > body.configuration.keys && body;
  });
  assert.equal(state.publishedVersion, configuration.version);
});

test("SIGTERM ends it with status 0", async () => {
  child.kill("SIGTERM");
  const [code] = (await once(child, "exit")) as [number | null];
  assert.equal(code, 0);
});
