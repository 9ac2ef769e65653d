/**
 * The control plane's programs against a real API server, a real NATS server and a real Workload API: what it publishes, and
 * what happens when any of them is away. No nodes: pods and EndpointSlices are written as their controllers would.
 */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { parseAllDocuments } from "yaml";
import { type Authority, openAuthority } from "../../src/identity/authority.ts";
import { natsConnectionOptions } from "../../src/identity/nats-client.ts";
import { serveWorkloadApi, type WorkloadApiServer } from "../../src/identity/workload-api.ts";
import { keySubjectPrefix } from "../../src/wire/keys.ts";
import { spiffeId } from "../../src/wire/sidecar.ts";
import {
  backend,
  folderOf,
  type KubeObject,
  meshConfig,
  namespace,
  pod,
  read,
  role,
  rules,
  service,
  slice,
  split,
  webhookConfiguration,
} from "./control-plane-objects.ts";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { freePort, type RunningNatsServer, startNatsServer } from "../fixtures/nats-server.ts";

const trustDomain = "example.org";
const root = join(import.meta.dirname, "../..");

let directory: string;
let api: KubeApi;
let authority: Authority;
let sockets: WorkloadApiServer[] = [];
let natsAddress: string;
let nats: RunningNatsServer;
let watcher: NatsConnection;
const programs = new Map<string, { readonly child: ChildProcess; log: string }>();

async function create(object: KubeObject): Promise<void> {
  await api.admin.send({ method: "POST", path: folderOf(object), body: object });
  if (object["status"] !== undefined) {
    const path = `${folderOf(object)}/${object.metadata.name}/status`;
    const contentType = "application/merge-patch+json";
    await api.admin.send({ method: "PATCH", path, body: { status: object["status"] }, contentType });
  }
}

async function patch(object: KubeObject, body: object, subresource = ""): Promise<void> {
  const path = `${folderOf(object)}/${object.metadata.name}${subresource}`;
  await api.admin.send({ method: "PATCH", path, body, contentType: "application/merge-patch+json" });
}

async function remove(object: KubeObject): Promise<void> {
  const query = { gracePeriodSeconds: "0" };
  await api.admin.send({ method: "DELETE", path: `${folderOf(object)}/${object.metadata.name}`, query });
}

async function get(object: KubeObject): Promise<any> {
  return api.admin.send({ method: "GET", path: `${folderOf(object)}/${object.metadata.name}` });
}

async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  milliseconds = 60_000,
): Promise<T> {
  const end = Date.now() + milliseconds;
  for (;;) {
    const result = await check().catch(() => undefined);
    if (result !== undefined && result !== false) {
      return result;
    }
    if (Date.now() >= end) {
      const logs = [...programs].map(([name, { log }]) => `${name}:\n${log.slice(-3000)}`).join("\n");
      assert.fail(`${what} does not happen within ${milliseconds} ms\n${logs}`);
    }
    await delay(20);
  }
}

function start(name: string, file: string, flags: Readonly<Record<string, string>>): void {
  const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  const child = spawn(process.execPath, [join(root, file), ...args], {
    stdio: ["ignore", "inherit", "pipe"],
    env: { ...process.env, KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: `${api.port}` },
  });
  const program = { child, log: "" };
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (program.log += text));
  programs.set(name, program);
}

/** Ends a program that was started here; as a crash unless another signal is named. */
async function kill(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  const child = programs.get(name)?.child;
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, "exit");
  }
}

/** Each controller has a loopback address of its own, as its ports are fixed. */
async function startController(name: "a" | "b"): Promise<void> {
  const address = name === "a" ? "127.0.0.81" : "127.0.0.82";
  start(name, "src/controller/kubernetes/main.ts", {
    namespace,
    "trust-domain": trustDomain,
    nats: natsAddress,
    "workload-api": join(directory, "controller.sock"),
    "sidecar-image": "sidecar:1",
    "init-image": "init:1",
    listen: address,
    "control-listen": address,
    credentials: await api.credentials(namespace, "nginx-mesh-controller"),
  });
}

function ask(name: "a" | "b", path: string, port = 8083): Promise<{ status: number; body: any }> {
  const host = name === "a" ? "127.0.0.81" : "127.0.0.82";
  return new Promise((resolve, reject) => {
    const message = request({ host, port, path, timeout: 2_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    message.on("error", reject);
    message.end();
  });
}

function ready(name: "a" | "b"): Promise<unknown> {
  return eventually(`readiness of controller ${name}`, async () => {
    const { status, body } = await ask(name, "/readyz", 8081);
    return status === 200 && body;
  });
}

/** The value of a key after the change. */
async function nextValue(key: string, change: () => Promise<void>, milliseconds = 30_000): Promise<any> {
  const subscription = watcher.subscribe(`${keySubjectPrefix}${key}`, { max: 1 });
  await watcher.flush();
  await change();
  const timer = setTimeout(() => subscription.unsubscribe(), milliseconds);
  for await (const message of subscription) {
    clearTimeout(timer);
    return message.data.length === 0 ? undefined : message.json();
  }
  const logs = [...programs].map(([name, { log }]) => `${name}:\n${log.slice(-3000)}`).join("\n");
  throw new Error(`no change of ${key} within ${milliseconds} ms\n${logs}`);
}

const weightOf = (value: any): number => value.ports[0].route.rules[0].backends[0].weight;
const addressesOf = (value: any): string[] => value.ports[0].endpoints.map((each: any) => each.address);

async function installDefinitions(): Promise<void> {
  const folder = join(root, "charts/nginx-mesh/crds");
  const own = /(smi-spec\.io|nginx\.com)\.yaml$/;
  for (const file of (await readdir(folder)).filter((each) => own.test(each))) {
    for (const document of parseAllDocuments(await readFile(join(folder, file), "utf8"))) {
      await create(document.toJS() as KubeObject);
    }
  }
}

async function connectWatcher(): Promise<void> {
  const id = spiffeId(trustDomain, "shop", "web");
  const identity = {
    ...(await authority.issue({ spiffeId: id, ttlSeconds: 600 })),
    bundle: authority.bundle(),
  };
  const options = natsConnectionOptions({
    server: natsAddress,
    trustDomain,
    namespace,
    serviceAccount: "web",
    identity: () => identity,
  });
  watcher = await connect({ ...options, inboxPrefix: "inbox.shop.web" });
}

async function serveIdentity(name: string, serviceAccount: string): Promise<void> {
  sockets.push(
    await serveWorkloadApi({
      socketPath: join(directory, name),
      identity: spiffeId(trustDomain, namespace, serviceAccount),
      authority,
      svidTtlSeconds: 600,
    }),
  );
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "control-"));
  api = await startKubeApi();
  authority = await openAuthority({
    directory: join(directory, "ca"),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
  await serveIdentity("controller.sock", "nginx-mesh-controller");
  await serveIdentity("nats.sock", "nats-server");
  await installDefinitions();
  for (const name of [namespace, "shop"]) {
    await create({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  for (const object of [
    ...role("nginx-mesh-controller", rules),
    ...role("nats-server", [{ apiGroups: [""], resources: ["serviceaccounts"], verbs: read }]),
    webhookConfiguration("MutatingWebhookConfiguration", `${namespace}-injection`),
    webhookConfiguration("ValidatingWebhookConfiguration", `${namespace}-validation`),
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "web", namespace: "shop" } },
    service,
    backend("web-v1"),
    backend("web-v2"),
  ]) {
    await create(object);
  }
  const natsPort = await freePort();
  natsAddress = `127.0.0.1:${natsPort}`;
  await mkdir(join(directory, "nats"));
  start("nats-files", "src/identity/nats-files-main.ts", {
    namespace,
    "trust-domain": trustDomain,
    directory: join(directory, "nats"),
    "workload-api": join(directory, "nats.sock"),
    listen: "127.0.0.1",
    port: `${natsPort}`,
    monitor: "",
    credentials: await api.credentials(namespace, "nats-server"),
  });
  const configuration = join(directory, "nats/nats-server.conf");
  await eventually("the NATS server's files", () => readFile(configuration).then(() => true));
  nats = await startNatsServer(configuration);
  await startController("a");
  await connectWatcher();
  await eventually("definitions", async () => (await create(split(1)), true));
  await create(meshConfig);
  await ready("a");
});

after(async () => {
  await Promise.all([...programs.keys()].map((name) => kill(name)));
  await watcher?.close();
  await nats?.stop();
  await Promise.all(sockets.map((socket) => socket.close()));
  await authority?.close();
  await api?.stop();
  await rm(directory, { recursive: true, force: true });
});

test("pods and slices become endpoints with the pods' identity", async () => {
  const first = pod("web-1", "10.244.0.1");
  await create(first);
  const value = await nextValue("service.shop.web", () => create(slice([first])));
  assert.deepEqual(
    value.ports[0].endpoints.map(({ address, port, identity }: any) => [address, port, identity]),
    [["10.244.0.1", 8080, spiffeId(trustDomain, "shop", "web")]],
  );
  const { body } = await ask("a", "/config");
  assert.equal(body.keys["address.10-96-0-9"].name, "web");
  assert.equal(body.keys["address.10-244-0-1"].identity, spiffeId(trustDomain, "shop", "web"));
  assert.deepEqual(body.keys["workload.shop.pod.web-1"].serviceRanges, ["10.96.0.0/16"]);
});

test("a change of a slice is in NATS within 100 ms", async () => {
  const [first, second] = [pod("web-1", "10.244.0.1"), pod("web-2", "10.244.0.2")];
  await create(second);
  const times: number[] = [];
  for (let round = 0; round < 20; round += 1) {
    const pods = round % 2 === 0 ? [first, second] : [first];
    let begun = 0;
    const value = await nextValue("service.shop.web", async () => {
      begun = performance.now();
      await patch(slice(pods), { endpoints: slice(pods)["endpoints"] });
    });
    times.push(performance.now() - begun);
    assert.deepEqual(
      addressesOf(value),
      pods.map((each) => (each["status"] as { podIP: string }).podIP),
    );
  }
  times.sort((a, b) => a - b);
  assert.ok(times[18]! < 100, `within ${times.map((time) => time.toFixed(0)).join(", ")} ms`);
});

test("the MeshConfig of the mesh's namespace is followed at run time", async () => {
  const key = "workload.shop.pod.web-1";
  const settings = {
    spec: {
      mtls: { mode: "strict" },
      clientMaxBodySize: "2m",
      nginxLBMethod: "round_robin",
      nginxErrorLogLevel: "debug",
      nginxLogFormat: "json",
    },
  };
  const { mtlsMode, clientMaxBodySize, balancing, logLevel, logFormat } = await nextValue(key, () =>
    patch(meshConfig, settings),
  );
  assert.deepEqual(
    { mtlsMode, clientMaxBodySize, balancing, logLevel, logFormat },
    {
      mtlsMode: "strict",
      clientMaxBodySize: 2 * 1024 ** 2,
      balancing: "round_robin",
      logLevel: "debug",
      logFormat: "json",
    },
  );
  await nextValue(key, () => patch(meshConfig, { spec: { mtls: { mode: "permissive" } } }));
});

test("a problem is an event and a condition, and goes when it is mended", async () => {
  const condition = async (): Promise<any> => (await get(split(1))).status?.conditions?.[0];
  await eventually("acceptance", async () => (await condition())?.status === "True");
  await patch(split(1), { spec: { backends: [{ service: "web-v1", weight: 0 }] } });
  const refused = await eventually("refusal", async () => {
    const found = await condition();
    return found?.status === "False" && found;
  });
  assert.equal(refused.reason, "AllWeightsZero");
  const events = await eventually("an event", async () => {
    const list: any = await api.admin.send({ method: "GET", path: "/api/v1/namespaces/shop/events" });
    return list.items.length > 0 && list.items;
  });
  const [event] = events.filter((each: any) => each.involvedObject.kind === "TrafficSplit");
  assert.equal(event.reason, "AllWeightsZero");
  assert.equal(event.type, "Warning");
  assert.equal(event.involvedObject.uid, (await get(split(1))).metadata.uid);
  await patch(split(1), { spec: split(1)["spec"] });
  await eventually("acceptance again", async () => (await condition())?.status === "True");
});

test("an object that changes nothing for the sidecars has its condition too, and each edit of it", async () => {
  const group = (path: string): KubeObject => ({
    apiVersion: "specs.smi-spec.io/v1alpha3",
    kind: "HTTPRouteGroup",
    metadata: { name: "of-nobody", namespace: "shop" },
    spec: { matches: [{ name: "all", pathRegex: path }] },
  });
  await create(group(".*"));
  const told = (generation: number) => async (): Promise<boolean> => {
    const [condition] = (await get(group(".*"))).status?.conditions ?? [];
    return condition?.status === "True" && condition.observedGeneration === generation;
  };
  await eventually("acceptance", told(1));
  await patch(group(".*"), { spec: group("/a.*")["spec"] });
  await eventually("acceptance of the edit", told(2));
  await remove(group(".*"));
});

test("a RateLimit's problem is the event UpsertRateLimitFailed", async () => {
  const limit: KubeObject = {
    apiVersion: "specs.smi.nginx.com/v1alpha2",
    kind: "RateLimit",
    metadata: { name: "limit", namespace: "shop" },
    spec: { destination: { kind: "Service", name: "web" }, name: "limit", rate: "10r/s" },
  };
  await create(limit);
  await eventually("the event", async () => {
    const query = { fieldSelector: "reason=UpsertRateLimitFailed" };
    const list: any = await api.admin.send({ method: "GET", path: "/api/v1/namespaces/shop/events", query });
    return list.items.some((each: any) => each.involvedObject.name === "limit");
  });
  await remove(limit);
});

test("the webhook's certificate is in its Secret, its authority in both webhook configurations", async () => {
  const path = `/api/v1/namespaces/${namespace}/secrets/nginx-mesh-webhook-certificate`;
  const secret: any = await eventually("the Secret", () => api.admin.send({ method: "GET", path }));
  for (const object of [
    webhookConfiguration("MutatingWebhookConfiguration", `${namespace}-injection`),
    webhookConfiguration("ValidatingWebhookConfiguration", `${namespace}-validation`),
  ]) {
    const { webhooks } = await eventually("the authority", async () => {
      const found = await get(object);
      return found.webhooks[0].clientConfig.caBundle !== undefined && found;
    });
    assert.equal(webhooks[0].clientConfig.caBundle, secret.data["ca.crt"]);
  }
});

test("an API server that crashes and comes back: nothing is lost, what changed meanwhile is seen", async () => {
  const before = (await ask("a", "/status")).body.configuration.version;
  await api.crash();
  await eventually("the error", async () => (await ask("a", "/status")).body.configuration.error !== "");
  const { body } = await ask("a", "/status");
  assert.equal(body.configuration.version, before);
  assert.equal((await ask("a", "/healthz", 8081)).status, 200);
  await api.start();
  await eventually("the mesh's kinds", async () => (await get(split(1)), true));
  const value = await nextValue(
    "service.shop.web",
    () => patch(split(1), { spec: split(7)["spec"] }),
    20_000,
  );
  assert.equal(weightOf(value), 7);
  await eventually("no error", async () => (await ask("a", "/status")).body.configuration.error === "");
});

test("NATS away while the API server is too: it comes back empty, and is filled", async () => {
  await api.crash();
  await nats.stop();
  await eventually("the loss", async () => !(await ask("a", "/status")).body.nats.connected);
  nats = await startNatsServer(join(directory, "nats/nats-server.conf"));
  await eventually("filling", async () => {
    const { nats: state, configuration } = (await ask("a", "/status")).body;
    return (
      state.connected &&
      state.publishedVersion === configuration.version &&
      state.written >= configuration.keys
    );
  });
  await watcher.close();
  await connectWatcher();
  await api.start();
});

test("of two controllers one publishes; when it is killed the other goes on", async () => {
  await startController("b");
  await ready("b");
  const { body } = await ask("b", "/status");
  assert.equal(body.election.leading, false);
  assert.equal(body.election.leader, (await ask("a", "/status")).body.election.leader);
  const both = await nextValue("service.shop.web", () => patch(split(1), { spec: split(8)["spec"] }));
  assert.equal(weightOf(both), 8);
  assert.equal((await ask("b", "/status")).body.nats.written, 0);
  await kill("a");
  const value = await nextValue(
    "service.shop.web",
    () => patch(split(1), { spec: split(9)["spec"] }),
    15_000,
  );
  assert.equal(weightOf(value), 9);
});

test("a leader that ends in order lets the other lead at once", async () => {
  await startController("a");
  await ready("a");
  await kill("b", "SIGTERM");
  const begun = performance.now();
  const value = await nextValue("service.shop.web", () => patch(split(1), { spec: split(10)["spec"] }));
  assert.equal(weightOf(value), 10);
  assert.ok(performance.now() - begun < 4_000, `${performance.now() - begun} ms`);
});

const definition = (plural: string): KubeObject => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: plural },
});

/** Puts other versions into a definition; they are in force when the API server says so. */
async function redefine(plural: string, versions: (present: any[]) => readonly object[]): Promise<any[]> {
  const present: any[] = (await get(definition(plural))).spec.versions;
  await patch(definition(plural), { spec: { versions: versions(present) } });
  return present;
}

const anything = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };

test("a definition of an older release that takes anything: what is stored and invalid is told, the rest goes on", async () => {
  const plural = "trafficsplits.split.smi-spec.io";
  const own = await redefine(plural, (all) => all.map((each) => ({ ...each, schema: anything })));
  const broken: KubeObject = {
    ...split(1),
    metadata: { name: "broken", namespace: "shop" },
    spec: { service: "web-v1", backends: [{ service: "web-v2", weight: "many" }] },
  };
  await eventually("the definition", async () => (await create(broken), true));
  await patch(definition(plural), { spec: { versions: own } });
  const condition = await eventually("refusal", async () => {
    const found = (await get(broken)).status?.conditions?.[0];
    return found?.status === "False" && found;
  });
  assert.match(condition.message, /spec\.backends\[0\]\.weight/);
  const value = await nextValue("service.shop.web", () => patch(split(1), split(42)));
  assert.equal(weightOf(value), 42);
  await remove(broken);
  await nextValue("service.shop.web", () => patch(split(1), split(1)));
});

test("a definition of a newer release that lacks our version: it is told, the last state stays, all is well when it is back", async () => {
  const plural = "trafficsplits.split.smi-spec.io";
  const before = (await ask("a", "/status")).body.configuration;
  assert.equal(before.error, "");
  const own = await redefine(plural, (all) => [
    { ...all[0], name: "v9", served: true, storage: true, schema: anything },
    ...all.map((each) => ({ ...each, served: false, storage: false })),
  ]);
  const error = await eventually(
    "the error",
    async () => (await ask("a", "/status")).body.configuration.error || undefined,
    40_000,
  );
  assert.match(
    error,
    /cannot read trafficsplits\.split\.smi-spec\.io: the API server has it in version v9, and this program reads v1alpha3; install the definitions/,
  );
  assert.equal((await ask("a", "/status")).body.configuration.version, before.version);
  const both = (await get(definition(plural))).spec.versions.map((each: any) => ({ ...each, served: true }));
  await patch(definition(plural), { spec: { versions: both } });
  await eventually(
    "no error",
    async () => (await ask("a", "/status")).body.configuration.error === "",
    40_000,
  );
  const value = await nextValue("service.shop.web", () => patch(split(1), split(7)));
  assert.equal(weightOf(value), 7);
  assert.equal(own.length, 1);
});

test("a new service account may use NATS at once, a removed one may not", async () => {
  const account: KubeObject = {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "late", namespace: "shop" },
  };
  const id = spiffeId(trustDomain, "shop", "late");
  const identity = {
    ...(await authority.issue({ spiffeId: id, ttlSeconds: 600 })),
    bundle: authority.bundle(),
  };
  const attempt = async (): Promise<boolean> => {
    const options = natsConnectionOptions({
      server: natsAddress,
      trustDomain,
      namespace,
      serviceAccount: "late",
      identity: () => identity,
    });
    const connection = await connect({
      ...options,
      inboxPrefix: "inbox.shop.late",
      reconnect: false,
      waitOnFirstConnect: false,
      maxReconnectAttempts: 0,
    }).catch(() => undefined);
    await connection?.close();
    return connection !== undefined;
  };
  assert.equal(await attempt(), false);
  await create(account);
  await eventually("the connection", attempt);
  await remove(account);
  await eventually("the refusal", async () => !(await attempt()));
});

test("a watch that must not be is an error that names verb, resource and group; the last state stays", async () => {
  const [clusterRole] = role("nginx-mesh-controller", rules);
  const fewer = rules.filter((rule) => !rule.resources.includes("endpointslices"));
  const before = (await ask("a", "/status")).body.configuration.version;
  await api.admin.send({
    method: "PATCH",
    path: `${folderOf(clusterRole!)}/${clusterRole!.metadata.name}`,
    body: { rules: fewer },
    contentType: "application/merge-patch+json",
  });
  await api.crash();
  await api.start();
  const error = await eventually("the error", async () => {
    const { body } = await ask("a", "/status");
    return /endpointslices/.test(body.configuration.error) && body.configuration.error;
  });
  assert.match(
    error,
    /cannot (list|watch) endpointslices\.discovery\.k8s\.io: access is denied; let the program's ServiceAccount "get", "list" and "watch" the resource "endpointslices" of the API group "discovery\.k8s\.io"/,
  );
  assert.equal((await ask("a", "/status")).body.configuration.version, before);
  await patch(clusterRole!, { rules });
  await eventually("no error", async () => (await ask("a", "/status")).body.configuration.error === "");
});
