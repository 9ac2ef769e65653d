/**
 * Who reaches what when a network plugin enforces the chart's NetworkPolicies. The test bed's plugin does not, so the rules of
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/ are applied here to what the chart renders.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cases } from "./cases.ts";
import { containersOf, objectsOf, podsOf, render, type PodTemplate, type Rendered } from "./render.ts";

const meshNamespace = "nginx-mesh";
type Labels = Readonly<Record<string, string>>;

/** A pod, or something that is none: the API server, which may run on any machine. */
type Source = { readonly namespace: string; readonly labels: Labels } | "no pod";

interface Selector {
  readonly matchLabels?: Labels;
}

interface Peer {
  readonly namespaceSelector?: Selector;
  readonly podSelector?: Selector;
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly ports?: readonly { readonly port: string }[];
}

const selects = (selector: Selector, labels: Labels): boolean => {
  assert.deepEqual(
    Object.keys(selector).filter((key) => key !== "matchLabels"),
    [],
    "not known to this test",
  );
  return Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
};

function isPeer(peer: Peer, source: Source): boolean {
  if (source === "no pod") {
    return false;
  }
  // a selector of namespaces other than "all" would need the labels of namespaces
  assert.deepEqual(peer.namespaceSelector ?? {}, {});
  const inNamespace = peer.namespaceSelector !== undefined || source.namespace === meshNamespace;
  return inNamespace && selects(peer.podSelector ?? {}, source.labels);
}

/** Numbers of the container ports that have this name. */
function numbersOf(pod: PodTemplate, name: string): readonly number[] {
  const ports = containersOf(pod).flatMap((container) => container.ports ?? []);
  return ports.filter((port) => port.name === name).map((port) => port.containerPort as number);
}

function isAllowed(objects: readonly Rendered[], source: Source, to: PodTemplate, port: number): boolean {
  const policies = objects.filter(
    ({ kind, spec }) => kind === "NetworkPolicy" && selects(spec.podSelector, to.metadata.labels),
  );
  const rules = policies.flatMap(({ spec }) => spec.ingress as readonly Rule[]);
  return (
    policies.length === 0 ||
    rules.some(
      ({ from, ports }) =>
        (from === undefined || from.some((peer) => isPeer(peer, source))) &&
        (ports === undefined || ports.some((each) => numbersOf(to, each.port).includes(port))),
    )
  );
}

const application: Source = { namespace: "shop", labels: { app: "web" } };
const apiServer: Source = "no pod";

/** Source, or the owner of a pod of the mesh; owner of the destination; port; whether it must be let through, and what for. */
type Flow = readonly [Source | string, string, number, boolean, string];

const flows: readonly Flow[] = [
  [
    apiServer,
    "nginx-mesh-controller",
    8443,
    true,
    "webhooks and the metrics API are called by the API server",
  ],
  [apiServer, "nginx-mesh-controller", 8082, true, "nginx-meshctl version, through the API server"],
  [application, "nginx-mesh-controller", 8083, false, "the control API asks nobody who they are"],
  [application, "nats-server", 4222, true, "sidecars of every namespace get their configuration"],
  ["nginx-mesh-controller", "nats-server", 4222, true, "the controller publishes"],
  [apiServer, "nats-server", 4222, false, "only pods have sidecars"],
  [application, "nats-server", 8222, false, "the monitor asks nobody who they are"],
  ["nginx-mesh-controller", "nats-server", 8222, true, "parts of the mesh may look"],
  ["spire-agent", "spire-server", 8081, true, "agents get identities for their pods"],
  [application, "spire-server", 8081, false, "nobody else has business with the server"],
  ["nginx-mesh-controller", "spire-server", 8081, false, "the controller asks the agent of its node"],
  [apiServer, "spire-server", 8081, false, "nothing of the API server's"],
  [application, "spire-agent", 8081, false, "the agent listens on a socket of the node"],
];

/** What a kubelet asks: nodes reach their own pods whatever the policies say, but plugins differ for those of IPv6. */
function probed(pod: PodTemplate): readonly number[] {
  const probes = containersOf(pod).flatMap((each) => [
    each.startupProbe,
    each.livenessProbe,
    each.readinessProbe,
  ]);
  const names = probes.map((probe) => (probe?.httpGet ?? probe?.tcpSocket)?.port as string | undefined);
  return [...new Set(names)].flatMap((name) => (name === undefined ? [] : numbersOf(pod, name)));
}

const names = ["defaults", "IPv6", "openshift", "the CSI driver", "replicas"] as const;
for (const name of names) {
  const objects = objectsOf(render(cases[name]!));
  const pods = podsOf(objects);
  const podOf = (owner: string): PodTemplate => {
    const found = pods.find((pod) => pod.owner === owner);
    assert.ok(found !== undefined, `there is no pod of ${owner}`);
    return found;
  };
  const sourceOf = (who: Source | string): Source =>
    typeof who === "string" && who !== "no pod"
      ? { namespace: meshNamespace, labels: podOf(who).metadata.labels }
      : (who as Source);

  for (const [who, to, port, expected, why] of flows) {
    const from = typeof who === "string" ? who : `pod of ${who.namespace}`;
    test(`${name}: ${from} to ${to}:${port} is ${expected ? "let through" : "refused"}: ${why}`, () => {
      assert.equal(isAllowed(objects, sourceOf(who), podOf(to), port), expected);
    });
  }

  test(`${name}: probes are let through from outside of pods, but for the monitor of NATS`, () => {
    const closed = pods.flatMap((pod) =>
      probed(pod)
        .filter((port) => !isAllowed(objects, "no pod", pod, port))
        .map((port) => `${pod.owner}:${port}`),
    );
    assert.ok(pods.flatMap(probed).length >= 5);
    assert.deepEqual(closed, ["nats-server:8222"]);
  });

  test(`${name}: nothing is said of what goes out, and of pods with sidecars nothing at all`, () => {
    for (const policy of objects.filter(({ kind }) => kind === "NetworkPolicy")) {
      assert.deepEqual(policy["spec"].policyTypes, ["Ingress"], policy.metadata.name);
      // 8886, 8887, 8895 and 8896 are asked by kubelets and by Prometheus, wherever it runs
      assert.equal(policy.metadata.namespace, meshNamespace);
      assert.ok(!selects(policy["spec"].podSelector, {}), `${policy.metadata.name} is about every pod`);
    }
  });
}
