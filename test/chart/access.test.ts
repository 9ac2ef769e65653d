/** The control plane against a real API server with the rights that the chart gives it, less one: it says which, and goes on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { type ApiServer, openApiServer } from "../../src/cluster/kubernetes/api-server.ts";
import { inCluster } from "../../src/cluster/kubernetes/in-cluster.ts";
import { type Cluster, watchCluster } from "../../src/cluster/kubernetes/source.ts";
import { certificateStore } from "../../src/controller/kubernetes/certificate-store.ts";
import { type Election, electionTimes, startElection } from "../../src/controller/kubernetes/election.ts";
import { clusterLoop } from "../../src/controller/kubernetes/loop.ts";
import { createReports, type Reports } from "../../src/controller/kubernetes/reports.ts";
import type { MeshModel } from "../../src/model/mesh.ts";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { chart } from "./programs.ts";
import { find, objectsOf, render, type Rendered } from "./render.ts";

/** One that the API server of tests has a token for. */
const namespace = "mesh-a";
const account = "nginx-mesh-controller";
const user = `system:serviceaccount:${namespace}:${account}`;
const rendered = objectsOf(render({}, { namespace }));
const rbac = "/apis/rbac.authorization.k8s.io/v1";
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const splits = "/apis/split.smi-spec.io/v1alpha3/namespaces/shop/trafficsplits";
const groups = "/apis/specs.smi-spec.io/v1alpha3/namespaces/shop/httproutegroups";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

let api: KubeApi;
let controller: ApiServer;

const post = (path: string, body: object): Promise<unknown> => api.admin.send({ method: "POST", path, body });
const remove = (path: string): Promise<unknown> => api.admin.send({ method: "DELETE", path });
// oxlint-disable-next-line no-explicit-any -- of any kind
const get = (path: string): Promise<any> => api.admin.send({ method: "GET", path });
const merge = (path: string, body: object): Promise<unknown> =>
  api.admin.send({ method: "PATCH", path, body, contentType: "application/merge-patch+json" });

async function until(what: string, isSo: () => Promise<unknown> | unknown): Promise<void> {
  for (const end = Date.now() + 90_000; !(await isSo()); await sleep(20)) {
    assert.ok(Date.now() < end, `${what}; errors: ${[...errors].join("; ")}`);
  }
}

/** The chart's definition of a resource. */
function definition(name: string): object {
  return parse(readFileSync(join(chart, "crds", `${name}.yaml`), "utf8"), { version: "1.1" }) as object;
}

const roles = ["ClusterRole", "Role"] as const;
/** Those of the cluster have the mesh's namespace in their names. */
const named = (kind: string): Rendered =>
  find(rendered, kind, kind.startsWith("Cluster") ? `${namespace}-controller` : account);
const rolePath = (kind: (typeof roles)[number]): string =>
  kind === "Role" ? `${rbac}/namespaces/${namespace}/roles` : `${rbac}/clusterroles`;

/** All that the chart gives, but for one verb on one resource. */
async function withhold(resource: string, verb: string): Promise<void> {
  for (const kind of roles) {
    const role = named(kind);
    const rules = (role["rules"] as readonly Rule[]).flatMap((rule): Rule[] => {
      if (!rule.resources.includes(resource)) {
        return [rule];
      }
      const others = rule.resources.filter((each) => each !== resource);
      const verbs = rule.verbs.filter((each) => each !== verb);
      return [
        ...(others.length === 0 ? [] : [{ ...rule, resources: others }]),
        ...(verbs.length === 0 ? [] : [{ ...rule, resources: [resource], verbs }]),
      ];
    });
    await merge(`${rolePath(kind)}/${role.metadata.name}`, { rules });
    for (const { apiGroups, resources, resourceNames, verbs } of role["rules"] as readonly Rule[]) {
      if (resources.includes(resource) && verbs.includes(verb)) {
        const where = {
          group: apiGroups[0]!,
          namespace: kind === "Role" ? namespace : "shop",
          // a right for named objects alone is no right for all
          ...(resourceNames === undefined ? {} : { name: resourceNames[0]! }),
        };
        await until(
          `no right to ${verb} ${resource}`,
          async () => !(await api.may(user, verb, resource, where)),
        );
      }
    }
  }
}

const grantAll = (): Promise<void> => withhold("", "");

/** The part of the control plane that needs no sidecars. */
interface Plane {
  readonly cluster: Cluster;
  readonly reports: Reports;
  readonly election: Election;
  model: MeshModel | undefined;
}

let plane: Plane | undefined;
/** What cannot be done at the moment, by part. */
const errors = new Map<string, string>();
const saying =
  (part: string) =>
  (message: string): void =>
    void errors.set(part, message);

function start(): Plane {
  const told: Plane = {
    model: undefined,
    reports: createReports({ api: controller, instance: "a", now: Date.now, onError: saying("reports") }),
    cluster: watchCluster({
      api: controller,
      namespace,
      onChange: () => pass(),
      onErrors: (all) => saying("cluster")(all.join("; ")),
    }),
    election: startElection({
      api: controller,
      namespace,
      name: "nginx-mesh-controller",
      identity: "a",
      onChange: () => undefined,
      onError: saying("election"),
    }),
  };
  const pass = clusterLoop({
    cluster: () => told.cluster,
    settings: { trustDomain: "example.org", namespace, statisticsInterval: 1 },
    onModel(model) {
      told.model = model;
      told.reports.update(told.cluster.references(model.problems), model.problems);
    },
    onConfiguration: () => undefined,
    onError: saying("loop"),
  });
  plane = told;
  return told;
}

const wentOver = (part: string) => (): boolean => errors.get(part) === "";

before(async () => {
  api = await startKubeApi();
  for (const name of [namespace, "shop"]) {
    await post("/api/v1/namespaces", { metadata: { name } });
  }
  for (const kind of roles) {
    const binding = `${kind}Binding`;
    await post(rolePath(kind), named(kind));
    await post(`${rolePath(kind).replace(/roles$/, "rolebindings")}`, named(binding));
  }
  for (const name of ["trafficsplits.split.smi-spec.io", "httproutegroups.specs.smi-spec.io"]) {
    await post(definitions, definition(name));
  }
  for (const name of ["web", "web-1", "web-2"]) {
    await post("/api/v1/namespaces/shop/services", { metadata: { name }, spec: { ports: [{ port: 80 }] } });
  }
  await until("kinds are served", () =>
    Promise.all([get(splits), get(groups)]).then(
      () => true,
      () => false,
    ),
  );
  const environment = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: `${api.port}` };
  controller = openApiServer(inCluster(environment, await api.credentials(namespace, account)));
});

afterEach(async () => {
  plane?.cluster.close();
  await plane?.reports.close();
  await plane?.election.close();
  errors.clear();
  await grantAll();
  for (const path of [splits, groups, "/api/v1/namespaces/shop/events"]) {
    await remove(path).catch(() => undefined);
  }
});

after(async () => {
  controller?.close();
  await api?.stop();
});

/** A split without effect, and a route group that is good: an event, and a condition of each kind. */
async function makePolicies(): Promise<void> {
  await post(splits, {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: "web" },
    spec: { service: "web", backends: [{ service: "web-1", weight: 0 }] },
  });
  await post(groups, {
    apiVersion: "specs.smi-spec.io/v1alpha3",
    kind: "HTTPRouteGroup",
    metadata: { name: "routes" },
    spec: { matches: [{ name: "all", pathRegex: ".*" }] },
  });
}

async function acceptance(path: string): Promise<string | undefined> {
  const { status } = await get(path);
  return (status?.conditions as { type: string; status: string }[] | undefined)?.find(
    ({ type }) => type === "Accepted",
  )?.status;
}

async function eventReasons(): Promise<readonly string[]> {
  const { items } = await get("/api/v1/namespaces/shop/events");
  return (items as { reason: string }[]).map(({ reason }) => reason);
}

const splitTold = async (): Promise<boolean> => (await acceptance(`${splits}/web`)) === "False";
const groupTold = async (): Promise<boolean> => (await acceptance(`${groups}/routes`)) === "True";
const eventTold = async (): Promise<boolean> => (await eventReasons()).includes("AllWeightsZero");
const read = (): boolean => plane!.cluster.snapshot() !== undefined;

interface Withheld {
  readonly verb: string;
  readonly resource: string;
  readonly part: string;
  readonly says: RegExp;
  /** What goes on meanwhile. */
  readonly goesOn: readonly (() => Promise<boolean> | boolean)[];
  /** What does not, until the right is given back. */
  readonly waits: () => Promise<boolean> | boolean;
}

const withheld: readonly Withheld[] = [
  {
    verb: "list",
    resource: "deployments",
    part: "cluster",
    says: /^cannot list deployments\.apps: access is denied; let .* "get", "list" and "watch" the resource "deployments" of the API group "apps"/,
    goesOn: [() => plane!.cluster.missing().join() === "deployments.apps"],
    waits: read,
  },
  {
    verb: "watch",
    resource: "trafficsplits",
    part: "cluster",
    says: /^cannot watch trafficsplits\.split\.smi-spec\.io: access is denied; let .*"trafficsplits" of the API group "split\.smi-spec\.io"/,
    goesOn: [read, splitTold, groupTold, eventTold],
    waits: wentOver("cluster"),
  },
  {
    verb: "patch",
    resource: "trafficsplits/status",
    part: "reports",
    says: /^cannot tell problems on their objects: access is denied; let .* "patch" "trafficsplits\/status" of the API group "split\.smi-spec\.io"/,
    goesOn: [read, groupTold, eventTold],
    waits: splitTold,
  },
  {
    verb: "create",
    resource: "events",
    part: "reports",
    says: /^cannot tell problems on their objects: access is denied; let .* "create", "get" and "patch" the resource "events"/,
    goesOn: [read, splitTold, groupTold],
    waits: eventTold,
  },
  {
    verb: "get",
    resource: "leases",
    part: "election",
    says: /^cannot use the Lease mesh-a\/nginx-mesh-controller .*: access is denied; let .* "get", "create" and "update" the resource "leases" of the API group "coordination\.k8s\.io"/,
    goesOn: [read, splitTold, groupTold, eventTold],
    waits: () => plane!.election.leading(),
  },
];

for (const { verb, resource, part, says, goesOn, waits } of withheld) {
  test(`without "${verb}" on ${resource}: told, the rest goes on, over when given back`, async () => {
    await withhold(resource, verb);
    await makePolicies();
    start();
    await until("the error", () => says.test(errors.get(part) ?? ""));
    for (const holds of goesOn) {
      await until(`what goes on: ${String(holds)}`, holds);
    }
    assert.equal(await waits(), false);
    await grantAll();
    await until("what has waited", waits);
    await until("no error", wentOver(part));
  });
}

test("a leader that may not use its Lease any more goes on: no other may either", async () => {
  const { election } = start();
  await until("it leads", () => election.leading());
  await withhold("leases", "update");
  await until("the error", () => /"update" the resource "leases"/.test(errors.get("election") ?? ""));
  await sleep(electionTimes.lease + 500);
  assert.ok(election.leading());
  await grantAll();
  await until("no error", wentOver("election"));
  assert.ok(election.leading());
});

test("the webhook's certificate: which verb on which resource", async () => {
  const store = certificateStore(controller, namespace);
  await withhold("secrets", "get");
  await assert.rejects(store.read(), /cannot get resource "secrets".* in the namespace "mesh-a"/);
  await withhold("mutatingwebhookconfigurations", "get");
  await assert.rejects(
    store.publish("x"),
    /MutatingWebhookConfiguration mesh-a-injection: let the controller's ServiceAccount "get" and "patch" it .*cannot get resource "mutatingwebhookconfigurations"/,
  );
});
