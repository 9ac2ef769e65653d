/** The chart on a real API server, by both Helms: install, upgrade, rollback, uninstall. No nodes, so no pod starts. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type LiveApi, namespace, settings, startLiveApi } from "./live.ts";
import { chart, helms } from "./programs.ts";
import { objectsOf, type Rendered } from "./render.ts";

const webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

let cluster: LiveApi;

before(async () => {
  cluster = await startLiveApi();
});
after(() => cluster?.api.stop());

async function read<T = Rendered>(path: string): Promise<T> {
  return (await cluster.api.admin.send({ method: "GET", path })) as T;
}

async function patch(path: string, body: object): Promise<unknown> {
  return cluster.api.admin.send({ method: "PATCH", path, body, contentType: "application/merge-patch+json" });
}

async function gone(path: string): Promise<boolean> {
  return read(path).then(
    () => false,
    () => true,
  );
}

const rule = (spec: object, apiVersion: string, kind: string, plural: string) => ({
  method: "POST",
  path: `/apis/${apiVersion}/namespaces/default/${plural}`,
  body: { apiVersion, kind, metadata: { name: "probe" }, spec },
});

for (const [name, helm] of Object.entries(helms)) {
  test(`${name}: install; every object is taken as it was rendered`, async () => {
    cluster.must(helm, "install", "nginx-mesh", chart, "--create-namespace");
    const manifest = objectsOf(cluster.must(helm, "get", "manifest", "nginx-mesh"));
    assert.ok(manifest.length > 40);
    const { items } = await read<{ items: Rendered[] }>(definitions);
    for (const { metadata, ...rest } of items.filter((each) => !each.metadata.name.endsWith("k8s.io"))) {
      const conditions = rest["status"].conditions as { type: string; status: string; message: string }[];
      for (const wanted of ["Established", "NamesAccepted"]) {
        assert.equal(conditions.find(({ type }) => type === wanted)?.status, "True", metadata.name);
      }
      const wrong = conditions.find(
        ({ type, status }) => type === "NonStructuralSchema" && status === "True",
      );
      assert.equal(wrong?.message, undefined, metadata.name);
    }
    const { spec } = await read(settings);
    assert.equal(spec.mtls.mode, "permissive");
    assert.equal(spec.nginxLBMethod, "least_time");
  });

  test(`${name}: a second mesh is refused, with where the first is`, () => {
    const ended = cluster.run(
      helm,
      "install",
      "second",
      chart,
      "--namespace",
      "elsewhere",
      "--create-namespace",
    );
    assert.notEqual(ended.status, 0);
    assert.match(ended.stderr, /has a mesh already, in the namespace nginx-mesh/);
  });

  test(`${name}: an upgrade changes what is given, and keeps what users and the controller wrote`, async () => {
    const hook = `${webhooks}/${namespace}-injection`;
    const { webhooks: before } = await read(hook);
    const caBundle = Buffer.from("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n").toString(
      "base64",
    );
    await patch(hook, {
      webhooks: before.map((each: { clientConfig: object }) => ({
        ...each,
        clientConfig: { ...each.clientConfig, caBundle },
      })),
    });
    await patch(settings, { spec: { nginxErrorLogLevel: "debug" } });
    cluster.must(
      helm,
      "upgrade",
      "nginx-mesh",
      chart,
      "--set",
      "clientMaxBodySize=8m",
      "--set",
      "mtls.mode=strict",
    );
    const { spec } = await read(settings);
    assert.deepEqual([spec.clientMaxBodySize, spec.mtls.mode], ["8m", "strict"]);
    assert.equal(spec.nginxErrorLogLevel, "debug");
    cluster.must(helm, "upgrade", "nginx-mesh", chart, "--reuse-values", "--set", "controller.replicas=2");
    assert.equal((await read(settings))["spec"].nginxErrorLogLevel, "debug");
    const { webhooks: kept } = await read(hook);
    assert.deepEqual(
      kept.map((each: { clientConfig: { caBundle: string } }) => each.clientConfig.caBundle),
      [caBundle, caBundle],
    );
  });

  test(`${name}: a rollback brings the former settings`, async () => {
    // Helm 4 asks before it takes back what a user has changed
    const force = name === "helm 4" ? ["--force-conflicts"] : [];
    cluster.must(helm, "rollback", "nginx-mesh", "1", ...force);
    const { spec } = await read(settings);
    assert.deepEqual([spec.clientMaxBodySize, spec.mtls.mode], ["1m", "permissive"]);
  });

  test(`${name}: uninstall leaves the definitions, and nothing else`, async () => {
    const manifest = objectsOf(cluster.must(helm, "get", "manifest", "nginx-mesh"));
    cluster.must(helm, "uninstall", "nginx-mesh");
    for (const kind of ["clusterroles", "clusterrolebindings"]) {
      const { items } = await read<{ items: Rendered[] }>(`/apis/rbac.authorization.k8s.io/v1/${kind}`);
      const left = items.filter((each) => each.metadata.labels?.["app.kubernetes.io/part-of"] !== undefined);
      assert.deepEqual(left, []);
    }
    assert.ok(await gone(`${webhooks}/${namespace}-injection`));
    assert.ok(await gone(settings));
    assert.ok(await gone("/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.metrics.smi-spec.io"));
    for (const { metadata } of manifest.filter(({ kind }) => kind === "ConfigMap")) {
      assert.ok(await gone(`/api/v1/namespaces/${namespace}/configmaps/${metadata.name}`), metadata.name);
    }
    assert.equal(
      (await read(`${definitions}/ratelimits.specs.smi.nginx.com`)).kind,
      "CustomResourceDefinition",
    );
  });
}

const destination = { kind: "Deployment", name: "web" };
const limit = { destination, name: "limit", rate: "10r/s" };
const rateLimits = ["specs.smi.nginx.com/v1alpha2", "RateLimit", "ratelimits"] as const;
const splits = ["split.smi-spec.io/v1alpha3", "TrafficSplit", "trafficsplits"] as const;
const configs = ["nsm.nginx.com/v1alpha2", "MeshConfig", "meshconfigs"] as const;
const backends = [{ service: "web-1", weight: 1 }];

for (const [spec, [apiVersion, kind, plural], message] of [
  [limit, rateLimits, undefined],
  [{ ...limit, delay: 3 }, rateLimits, undefined],
  [{ ...limit, delay: "nodelay" }, rateLimits, undefined],
  [limit, ["specs.smi.nginx.com/v1alpha1", "RateLimit", "ratelimits"], undefined],
  [{ ...limit, delay: true }, rateLimits, /spec\.delay/],
  [{ ...limit, rate: "10/s" }, rateLimits, /spec\.rate.*should match/],
  [{ ...limit, burst: -1 }, rateLimits, /spec\.burst.*greater than or equal to 0/],
  [{ ...limit, rules: [{ kind: "TCPRoute", name: "a" }] }, rateLimits, /HTTPRouteGroup/],
  [{ service: "web", backends }, splits, undefined],
  [{ service: "web" }, splits, /spec\.backends: Required/],
  [{ service: "web", backends: [{ service: "web-1", weight: -1 }] }, splits, /weight/],
  [{ meshConfigClassName: "a", mtls: { mode: "off" } }, configs, undefined],
  [{ meshConfigClassName: "a", mtls: { mode: "on" } }, configs, /spec\.mtls\.mode/],
  [{ meshConfigClassName: "a", telemetry: { samplerRatio: 1.5 } }, configs, /samplerRatio/],
] as const) {
  test(`the API server ${message === undefined ? "takes" : "refuses"} ${kind} ${JSON.stringify(spec)}`, async () => {
    const { method, path, body } = rule(spec, apiVersion, kind, plural);
    const sent = cluster.api.admin.send({ method: method as "POST", path: `${path}?dryRun=All`, body });
    await (message === undefined ? sent : assert.rejects(sent, message));
  });
}

test("kubelets that are older than the API server know one right for all that they do", async () => {
  const nodes = "/api/v1/nodes";
  const rights = Object.values(helms).map((helm) => (): readonly string[] => {
    const manifest = cluster
      .must(helm, "install", "nginx-mesh", chart, "--dry-run=server")
      .replace(/^[^]*?\n---/, "");
    const role = objectsOf(manifest.replace(/^NOTES:[^]*/m, "")).find(
      ({ kind, metadata }) => kind === "ClusterRole" && metadata.name === `${namespace}-spire-agent`,
    );
    return role?.["rules"][0].resources as readonly string[];
  });
  for (const [kubelet, expected] of [
    ["v1.37.2", "nodes/pods"],
    ["v1.32.11-eks-1234567", "nodes/proxy"],
  ] as const) {
    await cluster.api.admin.send({ method: "POST", path: nodes, body: { metadata: { name: kubelet } } });
    await cluster.api.admin.send({
      method: "PATCH",
      path: `${nodes}/${kubelet}/status`,
      body: { status: { nodeInfo: { kubeletVersion: kubelet } } },
      contentType: "application/merge-patch+json",
    });
    for (const right of rights) {
      assert.deepEqual(right(), [expected], kubelet);
    }
  }
});
