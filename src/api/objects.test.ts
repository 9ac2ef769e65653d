import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { identify, parseObject } from "./objects.ts";
import { formatProblem } from "./problem.ts";

const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "shop", labels: { app: "web" }, ownerReferences: [] },
  spec: {
    replicas: 2,
    revisionHistoryLimit: 3,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } },
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: {
        affinity: { podAntiAffinity: {} },
        tolerations: [{ key: "a", operator: "Exists" }],
        volumes: [{ name: "v", emptyDir: {} }],
        containers: [
          {
            name: "web",
            image: "web:1",
            env: [
              { name: "A", value: "b" },
              { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
            ],
            ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }],
            readinessProbe: { httpGet: { path: "/ready", port: "http" }, periodSeconds: 1 },
            resources: { limits: { memory: "64Mi" } },
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          },
        ],
      },
    },
  },
  status: { observedGeneration: 1 },
};

test("a Deployment with fields that mean nothing here is accepted, and frozen", () => {
  const { object, problems } = parseObject(deployment, "file.yaml:1");
  assert.deepEqual(problems, []);
  assert.equal(object === undefined ? "" : identify(object), "Deployment shop/web");
  assert.ok(Object.isFrozen(object?.metadata));
});

test("kinds without a namespace are named without", () => {
  const { object } = parseObject(
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    "file.yaml:1",
  );
  assert.equal(object === undefined ? "" : identify(object), "Namespace shop");
});

/** Path → value at that place of the Deployment → problem. */
const wrong: readonly [string, unknown, string][] = [
  ["spec.replicas", "two", "Deployment shop/web: spec.replicas: expected number, received string"],
  [
    "spec.template.spec.containers.0.ports.0.containerPort",
    70000,
    "Deployment shop/web: spec.template.spec.containers[0].ports[0].containerPort: Too big: expected number to be <=65535",
  ],
  [
    "spec.template.spec.containers.0.comand",
    ["sh"],
    "Deployment shop/web: spec.template.spec.containers[0].comand: unknown field: check its spelling and indentation",
  ],
  ["metadata.name", "Web", "Deployment shop/Web: metadata.name: must be a DNS-1123 subdomain"],
  [
    "spec.template.spec.serviceAccountName",
    "Web",
    "Deployment shop/web: spec.template.spec.serviceAccountName: must be a DNS-1123 subdomain",
  ],
  ["spec.template.spec.serviceAccount", "my_sa", /spec\.serviceAccount: must be a DNS-1123 subdomain/],
  [
    "spec.template.spec.containers.0.readinessProbe.httpGet.port",
    "8080",
    /httpGet\.port: must be a number without quotes, or a name with a letter in it$/,
  ],
  ["spec.template.spec.containers", [], /containers: Too small/],
  ["metadata.labels", { a: 1 }, "Deployment shop/web: metadata.labels.a: expected string, received number"],
] as unknown as readonly [string, unknown, string][];

function changed(path: string, value: unknown): unknown {
  const copy = structuredClone(deployment) as Record<string, unknown>;
  const parts = path.split(".");
  let at = copy;
  for (const part of parts.slice(0, -1)) {
    at = at[part] as Record<string, unknown>;
  }
  at[parts.at(-1)!] = value;
  return copy;
}

for (const [path, value, expected] of wrong) {
  test(`${path} = ${JSON.stringify(value)} is a problem with its path`, () => {
    const { object, problems } = parseObject(changed(path, value), "file.yaml:1");
    assert.equal(object, undefined);
    const text = problems.map(formatProblem).join("\n");
    if (typeof expected === "string") {
      assert.equal(text, expected);
    } else {
      assert.match(text, expected as RegExp);
    }
  });
}

/** Paths of the Deployment that may be empty. */
const emptied = [
  "metadata.namespace",
  "metadata.annotations",
  "spec.selector.matchExpressions",
  "spec.template.metadata",
  "spec.template.metadata.annotations",
  "spec.template.spec.initContainers",
  "spec.template.spec.containers.0.env",
  "spec.template.spec.containers.0.env.0.value",
  "spec.template.spec.containers.0.ports",
  "spec.template.spec.containers.0.readinessProbe.httpGet.path",
  "spec.template.spec.containers.0.livenessProbe",
  "spec.template.spec.securityContext",
];

for (const path of emptied) {
  test(`${path} left empty is as if it were not written`, () => {
    const { object, problems } = parseObject(changed(path, null), "file.yaml:1");
    assert.deepEqual(problems, []);
    const without = parseObject(changed(path, undefined), "file.yaml:1").object;
    assert.equal(JSON.stringify(object), JSON.stringify(without));
  });
}

test("what is needed, unknown, or a value in a map of free names may not be empty", () => {
  for (const path of ["metadata.name", "spec.template", "spec.selector.matchLabels.app", "spec.replica"]) {
    assert.equal(parseObject(changed(path, null), "file.yaml:1").object, undefined, path);
  }
});

test("other groups' kinds are left alone, unknown versions of ours are errors", () => {
  const foreign = parseObject({ apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a" } }, "f");
  assert.deepEqual(
    foreign.problems.map((problem) => problem.severity),
    ["warning"],
  );
  const own = parseObject(
    { apiVersion: "specs.smi.nginx.com/v9", kind: "RateLimit", metadata: { name: "a" } },
    "f",
  );
  assert.deepEqual(
    own.problems.map((problem) => problem.severity),
    ["error"],
  );
});

test("names that objects have by nature are names like others", () => {
  const raw = JSON.parse(
    '{"apiVersion":"v1","kind":"Service","metadata":{"name":"constructor","labels":{"__proto__":"a","toString":"b"}},' +
      '"spec":{"selector":{"hasOwnProperty":"c"},"ports":[{"port":1}]},"__proto__":{"polluted":true}}',
  ) as unknown;
  parseObject(raw, "f");
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  assert.equal(({} as { a?: string }).a, undefined);
  const { problems } = parseObject({ apiVersion: "constructor", kind: "prototype" }, "f");
  assert.equal(problems[0]?.reason, "UnknownKind");
});

test("whatever comes in, problems come out, never an exception", () => {
  const object = fc.record(
    {
      apiVersion: fc.constantFrom("v1", "apps/v1", "split.smi-spec.io/v1alpha3", "nsm.nginx.com/v1alpha2"),
      kind: fc.constantFrom("Service", "Deployment", "TrafficSplit", "MeshConfig", "List"),
      metadata: fc.anything(),
      spec: fc.anything(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.anything(), object), (raw) => {
      const { object: parsed, problems } = parseObject(raw, "f");
      assert.equal(parsed === undefined, problems.length > 0);
    }),
  );
});
