import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { usualSettings } from "../../test/fixtures/inject-settings.ts";
import { parseKubernetesYaml } from "../api/yaml.ts";
import { environment } from "../wire/sidecar.ts";
import { containerNames } from "./containers.ts";
import { injectManifest } from "./manifest.ts";
import { applyPatch } from "./patch.ts";
import { injectPod, type PodContext } from "./pod.ts";
import type { PodView } from "./pod-view.ts";
import { rewriteProbes } from "./probes.ts";

const context: PodContext = {
  settings: usualSettings,
  namespace: undefined,
  owner: undefined,
  admitted: false,
  ignoreIncomingPorts: [],
  ignoreOutgoingPorts: [],
};

function injected(pod: unknown, more: Partial<PodContext> = {}): PodView {
  const result = injectPod(pod, { ...context, ...more });
  assert.equal(result.outcome, "injected", JSON.stringify(result));
  return applyPatch(pod, result.operations) as PodView;
}

function variables(pod: PodView): Record<string, string | undefined> {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const sidecar = all.find(({ name }) => name === containerNames.sidecar) as unknown as {
    env: { name: string; value?: string }[];
  };
  return Object.fromEntries(sidecar.env.map(({ name, value }) => [name, value]));
}

const simple = { spec: { containers: [{ name: "a" }] } };

// ---- what is random ----

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const labels = fc.option(fc.dictionary(name, fc.string()), { nil: null });
const port = fc.integer({ min: 1, max: 8000 });
const probe = fc.oneof(
  fc.record({ httpGet: fc.record({ port, path: fc.webPath() }), periodSeconds: fc.nat(9) }),
  fc.record({ tcpSocket: fc.record({ port }) }),
  fc.record({ grpc: fc.record({ port, service: fc.string() }) }),
  fc.record({ exec: fc.record({ command: fc.array(fc.string()) }) }),
);
const container = fc.record(
  {
    name,
    image: fc.string(),
    livenessProbe: fc.option(probe, { nil: null }),
    readinessProbe: probe,
    lifecycle: fc.record({ preStop: fc.record({ httpGet: fc.record({ port }) }) }),
    args: fc.array(fc.string()),
  },
  { requiredKeys: ["name"] },
);
const poddish = fc.record(
  {
    metadata: fc.record({ labels, annotations: labels, name }, { requiredKeys: [] }),
    spec: fc.record(
      {
        containers: fc.array(container, { minLength: 1, maxLength: 3 }),
        initContainers: fc.option(fc.array(container, { maxLength: 2 }), { nil: null }),
        volumes: fc.array(fc.record({ name, emptyDir: fc.constant({}) }), { maxLength: 2 }),
      },
      { requiredKeys: ["containers"] },
    ),
  },
  { requiredKeys: ["spec"] },
);
/** As it comes over the wire. */
const pods = poddish.map((pod) => JSON.parse(JSON.stringify(pod)) as typeof pod);
const orders = fc.constantFrom("native" as const, "classic" as const);

test("property: a pod with a sidecar gets no second one, and is whole otherwise", () => {
  fc.assert(
    fc.property(pods, orders, fc.boolean(), (pod, order, ipv6) => {
      const settings = { ...usualSettings, order, ipv6 };
      const frozen = structuredClone(pod);
      const after = injected(pod, { settings });
      assert.deepEqual(pod, frozen, "the pod that was given changed");
      assert.deepEqual(injectPod(after, { ...context, settings }), { outcome: "unchanged" });
      const ours: readonly string[] = Object.values(containerNames);
      const names = (list: readonly { name: string }[] | null | undefined) =>
        (list ?? []).map((each) => each.name).filter((each) => !ours.includes(each));
      assert.deepEqual(names(after.spec.containers), names(pod.spec.containers));
      assert.deepEqual(names(after.spec.initContainers), names(pod.spec.initContainers));
      for (const [index, { args, image }] of pod.spec.containers.entries()) {
        const place = order === "classic" ? index + 1 : index;
        const now = after.spec.containers[place] as { args?: unknown; image?: unknown };
        assert.deepEqual([now.args, now.image], [args, image]);
      }
    }),
  );
});

test("property: equal pods give equal bytes, whatever the order of their fields", () => {
  const reversed = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(reversed)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([key, part]) => [key, reversed(part)]),
          )
        : value;
  const operations = (pod: unknown) => {
    const result = injectPod(pod, context);
    assert.equal(result.outcome, "injected");
    return JSON.stringify(result.operations.filter(({ path }) => !path.includes("httpGet")));
  };
  fc.assert(fc.property(pods, (pod) => assert.equal(operations(reversed(pod)), operations(pod))));
});

test("property: YAML with comments, JSON and the value itself get the same", () => {
  fc.assert(
    fc.property(pods, (pod) => {
      const whole = { apiVersion: "v1", kind: "Pod", ...pod };
      const expected = injected(whole);
      const options = { settings: usualSettings, ignoreIncomingPorts: [], ignoreOutgoingPorts: [] };
      for (const text of [
        JSON.stringify(whole),
        JSON.stringify(whole, undefined, 2),
        `# note\n${stringify(whole, { compat: "yaml-1.1" })}`,
      ]) {
        const result = injectManifest(text, options);
        assert.ok("text" in result, JSON.stringify(result));
        assert.deepEqual(parseKubernetesYaml(result.text)[0]?.toJS(), expected);
      }
    }),
  );
});

test("property: nothing that is no pod makes it throw", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => assert.equal(injectPod(value, context).outcome, "refused")),
  );
});

test("the workload of a pod is that of its owner", () => {
  const owner = (kind: string, of: string) => [{ kind, name: of, controller: true }];
  const cases: readonly (readonly [object, string])[] = [
    [{}, "pod/$(MESH_POD_NAME)"],
    [{ ownerReferences: owner("StatefulSet", "db") }, "statefulset/db"],
    [
      { labels: { "pod-template-hash": "77" }, ownerReferences: owner("ReplicaSet", "web-77") },
      "deployment/web",
    ],
    [{ ownerReferences: owner("Job", "nightly-28") }, "job/nightly-28"],
  ];
  for (const [metadata, expected] of cases) {
    assert.equal(variables(injected({ ...simple, metadata }))[environment.workload], expected);
  }
  assert.equal(variables(injected(simple, { owner: "job" }))[environment.workload], "job/$(MESH_JOB_NAME)");
});

test("ports that the user names go to rules and annotation, beside those of the pod", () => {
  const key = "config.nsm.nginx.com/ignore-incoming-ports";
  const pod = injected(
    { ...simple, metadata: { annotations: { [key]: "9000" } } },
    { ignoreIncomingPorts: [80, 9000], ignoreOutgoingPorts: [5432] },
  );
  const notes = pod.metadata!.annotations!;
  assert.equal(notes[key], "80,9000");
  assert.equal(notes["config.nsm.nginx.com/ignore-outgoing-ports"], "5432");
  const rules = notes["injector.nsm.nginx.com/capture-rules-ipv4"]!;
  assert.match(rules, /--dports 53,5432 -j RETURN/);
  assert.match(rules, /--dports 80,8886,8887,8895,8896,9000 -j RETURN/);
});

test("in the classic order a pod that is meant to end is refused", () => {
  const settings = { ...usualSettings, order: "classic" } as const;
  const pod = { spec: { ...simple.spec, restartPolicy: "Never" } };
  assert.equal(injectPod(pod, context).outcome, "injected");
  assert.equal(injectPod(pod, { ...context, settings }).outcome, "refused");
});

test("marked as injected, without a sidecar: it gets one", () => {
  const metadata = { annotations: { "injector.nsm.nginx.com/status": "injected" } };
  assert.equal(injectPod({ ...simple, metadata }, context).outcome, "injected");
});

test("what a probe asks stands once, however often it is asked", () => {
  const httpGet = { port: 80, path: "/x" };
  const both = { livenessProbe: { httpGet }, readinessProbe: { httpGet } };
  const pod = { spec: { containers: [{ name: "a", ...both }] } } as PodView;
  assert.equal(rewriteProbes(pod, new Set()).allowed, "8895/80/x");
  assert.deepEqual(rewriteProbes(pod, new Set([80])), { operations: [], allowed: "" });
});

const pullSecret = "nginx-mesh-registry-key";
const named = (...names: readonly string[]): object[] => names.map((each) => ({ name: each }));

/** Whether the API server has seen the pod, its own list, the list that it gets. */
const pullSecretCases: readonly (readonly [boolean, object[] | undefined, object[] | undefined])[] = [
  [true, undefined, named(pullSecret)],
  [true, [], named(pullSecret)],
  [true, named("own"), named("own", pullSecret)],
  [true, named(pullSecret), named(pullSecret)],
  // in a template a list would hide that of the service account
  [false, undefined, undefined],
  [false, [], []],
  [false, named("own"), named("own", pullSecret)],
];

for (const [admitted, own, expected] of pullSecretCases) {
  test(`pull secrets: ${JSON.stringify(own)}, ${admitted ? "admitted" : "a manifest"}`, () => {
    const pod = { spec: { ...simple.spec, ...(own === undefined ? {} : { imagePullSecrets: own }) } };
    const settings = { ...usualSettings, pullSecret };
    assert.deepEqual(injected(pod, { admitted, settings }).spec.imagePullSecrets, expected);
    assert.deepEqual(injected(pod, { admitted }).spec.imagePullSecrets, own, "no credentials, no Secret");
  });
}

test("a pod with the sidecar of NGINX Service Mesh is refused, by the names of its containers", () => {
  const pod = {
    metadata: {
      labels: { "nsm.nginx.com/deployment": "web" },
      annotations: { "injector.nsm.nginx.com/status": "injected" },
    },
    spec: {
      containers: [{ name: "web" }, { name: "nginx-mesh-sidecar", image: "nginx-mesh-sidecar:2.0.0" }],
      initContainers: [{ name: "nginx-mesh-init", image: "nginx-mesh-init:2.0.0" }],
    },
  };
  const result = injectPod(pod, context);
  assert.equal(result.outcome, "refused");
  assert.deepEqual(
    result.problems.map(({ field }) => field),
    ["spec.initContainers[0].name", "spec.containers[1].name"],
  );
  assert.match(result.problems[0]!.message, /start from the manifest without the sidecar/);
});
