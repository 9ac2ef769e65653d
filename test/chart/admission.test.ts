/** The webhooks and policies of the chart, asked by a real API server about real requests. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { type Admission, createAdmission } from "../../src/admission/admission.ts";
import { createCertificate } from "../../src/admission/webhook-certificate.ts";
import { ApiError } from "../../src/cluster/kubernetes/api-server.ts";
import { certificateStore } from "../../src/controller/kubernetes/certificate-store.ts";
import { usualSettings } from "../fixtures/inject-settings.ts";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { chart } from "./programs.ts";
import { objectsOf, render, type Rendered } from "./render.ts";

const namespace = "nginx-mesh";
const label = "injector.nsm.nginx.com/auto-inject";
const registration = "/apis/admissionregistration.k8s.io/v1";
const meshConfigs = `/apis/nsm.nginx.com/v1alpha2/namespaces/${namespace}/meshconfigs`;
const injectionWebhook = `${registration}/mutatingwebhookconfigurations/${namespace}-injection`;

/** The API server resolves a Service to its endpoints, which may not have a loopback address. */
const address = Object.values(networkInterfaces())
  .flat()
  .find((each) => each !== undefined && !each.internal && each.family === "IPv4")?.address;

let api: KubeApi;
let admission: Admission;
const messages: string[] = [];

async function send(
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  body?: object,
): Promise<Rendered> {
  return (await api.admin.send({ method, path, ...(body === undefined ? {} : { body }) })) as Rendered;
}

async function merge(path: string, body: object): Promise<void> {
  await api.admin.send({ method: "PATCH", path, body, contentType: "application/merge-patch+json" });
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 90_000;
  while (!(await holds())) {
    assert.ok(Date.now() < limit, `not within 90 s: ${what}; ${messages.join("; ")}`);
    await delay(50);
  }
}

const pluralOf: Readonly<Record<string, string>> = {
  MeshConfig: meshConfigs,
  MutatingWebhookConfiguration: `${registration}/mutatingwebhookconfigurations`,
  ValidatingWebhookConfiguration: `${registration}/validatingwebhookconfigurations`,
  ValidatingAdmissionPolicy: `${registration}/validatingadmissionpolicies`,
  ValidatingAdmissionPolicyBinding: `${registration}/validatingadmissionpolicybindings`,
};

async function makeDefinitions(): Promise<void> {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  for (const file of readdirSync(join(chart, "crds"))) {
    await send("POST", path, parse(readFileSync(join(chart, "crds", file), "utf8")) as object);
  }
  await until("the CRDs are served", () =>
    send("GET", meshConfigs).then(
      () => true,
      () => false,
    ),
  );
}

async function makeService(port: number): Promise<void> {
  const name = "nginx-mesh-webhook";
  const ports = [{ port: 443, targetPort: port }];
  await send("POST", `/api/v1/namespaces/${namespace}/services`, { metadata: { name }, spec: { ports } });
  await send("POST", `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
    metadata: { name, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "", port, protocol: "TCP" }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  });
}

async function startAdmission(port: number): Promise<Admission> {
  return createAdmission({
    namespace,
    port,
    store: certificateStore(api.admin, namespace),
    injection: { settings: () => usualSettings },
    objects: () => [],
    otherwise: (_request, response) => void response.writeHead(404).end(),
    log: (level, message) => messages.push(`${level}: ${message}`),
    certificatePeriod: 200,
  });
}

let podNumber = 0;
interface PodRequest {
  readonly namespace?: string;
  readonly labels?: object;
  readonly annotations?: object;
  readonly spec?: object;
}

/** A pod is made; resolves with it as the API server stores it. */
async function makePod(request: PodRequest = {}): Promise<Rendered> {
  const { namespace: where = "meshed", labels = {}, annotations = {}, spec = {} } = request;
  podNumber += 1;
  return send("POST", `/api/v1/namespaces/${where}/pods`, {
    metadata: { name: `p-${podNumber}`, labels, annotations },
    spec: { containers: [{ name: "a", image: "a" }], ...spec },
  });
}

function isMeshed(pod: Rendered): boolean {
  const init = (pod["spec"] as { initContainers?: { name: string }[] }).initContainers ?? [];
  return init.some(({ name }) => name === "nginx-mesh-sidecar");
}

/** Why a pod is not made; undefined: it is, and stays plain. */
async function refusal(request: PodRequest): Promise<string | undefined> {
  try {
    const pod = await makePod(request);
    assert.ok(!isMeshed(pod));
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ApiError);
    return error.message;
  }
}

async function setMode(mode: string): Promise<void> {
  await merge(`${meshConfigs}/nginx-mesh-config`, { spec: { mtls: { mode } } });
}

before(async () => {
  assert.ok(address !== undefined, "this machine has no address but loopback");
  api = await startKubeApi({ args: ["--enable-aggregator-routing=true"], tokens: true });
  for (const [name, labels] of [
    [namespace, {}],
    ["meshed", { [label]: "enabled" }],
    ["plain", {}],
  ] as const) {
    await send("POST", "/api/v1/namespaces", { metadata: { name, labels } });
    await send("POST", `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: "default" } });
  }
  await makeDefinitions();
  for (const object of objectsOf(render({}))) {
    const path = pluralOf[object.kind];
    if (path !== undefined) {
      await send("POST", path, object);
    }
  }
  // expired, as after a long rest
  await certificateStore(api.admin, namespace).write(
    await createCertificate(["nginx-mesh-webhook.nginx-mesh.svc"], Date.parse("2020-01-01")),
    undefined,
  );
  admission = await startAdmission(0);
  await makeService((admission.server.address() as AddressInfo).port);
  await until("a pod is injected", () => makePod().then(isMeshed, () => false));
});

after(async () => {
  await admission?.close();
  await api?.stop();
});

test("an expired certificate was mended at start, and its authority is in both configurations", async () => {
  assert.match(messages.join("\n"), /wrote a webhook certificate: .*(expired|not for)/);
  for (const path of [
    injectionWebhook,
    `${registration}/validatingwebhookconfigurations/${namespace}-validation`,
  ]) {
    const { webhooks } = (await send("GET", path)) as unknown as {
      webhooks: { clientConfig: { caBundle: string } }[];
    };
    assert.ok(webhooks.every(({ clientConfig }) => clientConfig.caBundle.length > 100));
  }
});

test("a pod with everything: the sidecar before its own init containers, its probes led through it", async () => {
  const pod = await makePod({
    labels: { app: "a" },
    spec: {
      initContainers: [{ name: "first", image: "a" }],
      containers: [
        {
          name: "a",
          image: "a",
          ports: [{ name: "http", containerPort: 80 }],
          livenessProbe: { httpGet: { port: "http", path: "/live" } },
          readinessProbe: { grpc: { port: 80 } },
          startupProbe: { tcpSocket: { port: 80 } },
        },
      ],
    },
  });
  assert.ok(isMeshed(pod));
  const { initContainers, containers } = pod["spec"] as Record<
    string,
    { name: string; [field: string]: unknown }[]
  >;
  assert.deepEqual(
    initContainers!.map(({ name }) => name),
    ["nginx-mesh-sidecar", "nginx-mesh-init", "first"],
  );
  assert.deepEqual((containers![0]!["startupProbe"] as { httpGet: object }).httpGet, {
    path: "/tcp/80",
    port: 8895,
    scheme: "HTTP",
  });
  assert.equal(pod.metadata.labels!["app"], "a");
});

const plurals: Readonly<Record<string, string>> = {
  Pod: "/api/v1/namespaces/plain/pods",
  ReplicationController: "/api/v1/namespaces/plain/replicationcontrollers",
  Deployment: "/apis/apps/v1/namespaces/plain/deployments",
  DaemonSet: "/apis/apps/v1/namespaces/plain/daemonsets",
  StatefulSet: "/apis/apps/v1/namespaces/plain/statefulsets",
  ReplicaSet: "/apis/apps/v1/namespaces/plain/replicasets",
  Job: "/apis/batch/v1/namespaces/plain/jobs",
  CronJob: "/apis/batch/v1/namespaces/plain/cronjobs",
};
const golden = join(import.meta.dirname, "../golden/inject");
for (const folder of readdirSync(golden).filter((each) => each !== "refused")) {
  test(`manifests of ${folder}, injected by hand, are valid to the last field`, async () => {
    const file = readdirSync(join(golden, folder)).find((each) => each.startsWith("out."))!;
    const documents = objectsOf(readFileSync(join(golden, folder, file), "utf8"));
    const objects = documents.flatMap((each) =>
      each.kind === "List" ? (each["items"] as Rendered[]) : [each],
    );
    for (const object of objects.filter(({ kind }) => plurals[kind] !== undefined)) {
      const path = `${plurals[object.kind]}?dryRun=All&fieldValidation=Strict`;
      await send("POST", path, { ...object, metadata: { ...object.metadata, namespace: "plain" } });
    }
  });
}

test("the application has the token of its service account, the mesh's containers have none", async () => {
  const { initContainers, containers, volumes } = (await makePod())["spec"] as {
    initContainers: { name: string; volumeMounts: { name: string; mountPath: string }[] }[];
    containers: typeof initContainers;
    volumes: { name: string }[];
  };
  const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  const token = volumes.find(({ name }) => name.startsWith("kube-api-access"))!.name;
  const mounted = ({ volumeMounts }: (typeof containers)[number]) =>
    volumeMounts.filter(({ mountPath }) => mountPath === folder).map(({ name }) => name);
  assert.deepEqual(containers.map(mounted), [[token]]);
  assert.deepEqual(initContainers.map(mounted), [["nginx-mesh-no-token"], ["nginx-mesh-no-token"]]);
});

test("who asks, and who does not", async () => {
  assert.ok(isMeshed(await makePod({ namespace: "plain", labels: { [label]: "enabled" } })));
  assert.ok(!isMeshed(await makePod({ namespace: "plain" })));
  assert.ok(!isMeshed(await makePod({ labels: { [label]: "disabled" } })));
});

test("a pod that cannot have a sidecar is denied, with the reason", async () => {
  const message = await refusal({ spec: { hostNetwork: true } });
  assert.match(message ?? "", /denied the request: .*spec\.hostNetwork: capture rules would redirect/);
  const leftOver = await refusal({
    annotations: { "injector.nsm.nginx.com/status": "injected" },
    spec: { containers: [{ name: "nginx-mesh-sidecar", image: "nginx-mesh-sidecar:2.0.0" }] },
  });
  assert.match(leftOver ?? "", /"nginx-mesh-sidecar" is the name of a container of the mesh/);
});

test("objects of the mesh: the wrong ones are denied, with the reason", async () => {
  const make = (weight: number, name: string) =>
    send("POST", "/apis/split.smi-spec.io/v1alpha3/namespaces/plain/trafficsplits", {
      apiVersion: "split.smi-spec.io/v1alpha3",
      kind: "TrafficSplit",
      metadata: { name },
      spec: { service: "web", backends: [{ service: "web", weight }] },
    });
  await assert.rejects(make(0, "wrong"), /TrafficSplit plain\/wrong: spec\.backends: all weights are 0/);
  await make(1, "right");
  const path = "/apis/split.smi-spec.io/v1alpha3/namespaces/plain/trafficsplits/right";
  await assert.rejects(
    merge(path, { spec: { backends: [{ service: "web", weight: 0 }] } }),
    /all weights are 0/,
  );
  await send("DELETE", path);
  await assert.rejects(
    merge(`${meshConfigs}/nginx-mesh-config`, { spec: { mtls: { caTTL: "24h", svidTTL: "25h" } } }),
    /svidTTL: 25h is longer than caTTL/,
  );
});

test("in mode strict a pod that only looks injected is denied by the API server itself", async () => {
  const disguised = { labels: { "injector.nsm.nginx.com/status": "injected" } };
  assert.equal(await refusal(disguised), undefined);
  const strict = { "config.nsm.nginx.com/mtls-mode": "strict" };
  // the API server takes a moment to find a policy's parameters
  await until("the policy is in force", async () => {
    return (await refusal({ ...disguised, annotations: strict })) !== undefined;
  });
  const own = await refusal({ ...disguised, annotations: strict });
  assert.match(own ?? "", /ValidatingAdmissionPolicy 'nginx-mesh-strict-mode'.*asks for a sidecar/);
  await setMode("strict");
  await until("strict is in force", async () => (await refusal(disguised)) !== undefined);
  assert.ok(isMeshed(await makePod()));
  assert.equal(await refusal({ namespace: "plain" }), undefined);
  assert.equal(await refusal({ labels: { [label]: "disabled" } }), undefined);
  for (const own of ["enable-ingress", "enable-egress"]) {
    const ingressController = { labels: { [`nsm.nginx.com/${own}`]: "true" } };
    assert.ok(
      !isMeshed(await makePod(ingressController)),
      "an ingress controller has an identity of its own",
    );
    assert.ok(isMeshed(await makePod({ labels: { [`nsm.nginx.com/${own}`]: "false" } })));
  }
  assert.equal(
    await refusal({ ...disguised, annotations: { "config.nsm.nginx.com/mtls-mode": "permissive" } }),
    undefined,
  );
  await setMode("permissive");
  await until("permissive is in force", async () => (await refusal(disguised)) === undefined);
});

test("a webhook configuration that somebody overwrites is mended", async () => {
  const { webhooks } = (await send("GET", injectionWebhook)) as unknown as {
    webhooks: { clientConfig: object }[];
  };
  const bare = webhooks.map((each) => ({ ...each, clientConfig: { ...each.clientConfig, caBundle: "" } }));
  await merge(injectionWebhook, { webhooks: bare });
  await until("a pod is injected again", () => makePod().then(isMeshed, () => false));
});

test("while no controller answers: Fail makes no pod; Ignore makes plain ones, but none in mode strict", async () => {
  const { port } = admission.server.address() as AddressInfo;
  await admission.close();
  assert.match((await refusal({})) ?? "", /failed calling webhook/);
  assert.equal(await refusal({ labels: { "nsm.nginx.com/enable-ingress": "true" } }), undefined);
  assert.equal(await refusal({ namespace: "plain" }), undefined);
  const { webhooks } = (await send("GET", injectionWebhook)) as unknown as { webhooks: object[] };
  await merge(injectionWebhook, { webhooks: webhooks.map((each) => ({ ...each, failurePolicy: "Ignore" })) });
  await until("Ignore is in force", async () => (await refusal({})) === undefined);
  await setMode("strict");
  await until("strict is in force", async () => (await refusal({})) !== undefined);
  assert.match((await refusal({})) ?? "", /asks for a sidecar .* and got none, and in mode strict/);
  admission = await startAdmission(port);
  await until("a pod is injected again", () => makePod().then(isMeshed, () => false));
});
