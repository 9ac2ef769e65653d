import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { memoryStore } from "../../test/fixtures/certificate-store.ts";
import { usualSettings } from "../../test/fixtures/inject-settings.ts";
import { type MeshObject, parseObject } from "../api/objects.ts";
import { type Admission, createAdmission } from "./admission.ts";

const servername = "nginx-mesh-webhook.nginx-mesh.svc";
const store = memoryStore();
const messages: string[] = [];
const objects: MeshObject[] = [];
const agent = new Agent({ keepAlive: true });
let admission: Admission;

before(async () => {
  admission = await createAdmission({
    namespace: "nginx-mesh",
    port: 0,
    host: "127.0.0.1",
    store,
    injection: { settings: () => usualSettings },
    objects: () => objects,
    otherwise: (_request, response) => void response.writeHead(404).end("elsewhere"),
    log: (level, message) => messages.push(`${level}: ${message}`),
  });
});

after(async () => {
  agent.destroy();
  await admission.close();
});

interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Question {
  readonly path: string;
  readonly body?: string | Buffer;
  readonly method?: string;
  readonly type?: string;
  readonly ca?: string;
}

/** As the API server asks: by the Service's name, verified against the bundle of the webhook's configuration. */
function ask({ path, body = "", method = "POST", type = "application/json", ca }: Question): Promise<Answer> {
  const { port } = admission.server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, method, servername, ca: ca ?? store.bundle, agent };
    const sent = request({ ...options, headers: { "content-type": type } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patchType?: string;
  readonly patch?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly code: number; readonly message: string };
}

const pods = { group: "", version: "v1", kind: "Pod" };

function review(more: object): string {
  const fixed = { uid: "u-1", kind: pods, operation: "CREATE", namespace: "meshed" };
  return JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      ...fixed,
      object: null,
      oldObject: null,
      userInfo: { username: "me" },
      dryRun: false,
      ...more,
    },
  });
}

async function decide(path: string, more: object): Promise<Response> {
  const { status, body } = await ask({ path, body: review(more) });
  assert.equal(status, 200, body);
  const answer = JSON.parse(body) as { apiVersion: string; kind: string; response: Response };
  assert.deepEqual([answer.apiVersion, answer.kind], ["admission.k8s.io/v1", "AdmissionReview"]);
  assert.equal(answer.response.uid, "u-1");
  return answer.response;
}

function pod(metadata: object = {}, spec: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: { containers: [{ name: "a", image: "a" }], ...spec },
  };
}

const label = (value: string) => ({ labels: { "injector.nsm.nginx.com/auto-inject": value } });
const injections: readonly (readonly [string, string, object, "patched" | "as it is" | "denied"])[] = [
  ["namespace says so, as the API server asks", "meshed", pod(), "patched"],
  ["namespace says so, pod not", "meshed", pod(label("disabled")), "as it is"],
  ["pod says so", "meshed", pod(label("enabled")), "patched"],
  ["the system", "kube-system", pod(label("enabled")), "as it is"],
  ["the mesh itself", "nginx-mesh", pod(), "as it is"],
  ["a pod that cannot have a sidecar", "meshed", pod({}, { hostNetwork: true }), "denied"],
  ["a pod that cannot be read", "meshed", { spec: { containers: "none" } }, "denied"],
];
for (const [title, namespace, object, expected] of injections) {
  test(`/inject: ${title}: ${expected}`, async () => {
    const response = await decide("/inject", { namespace, object });
    assert.equal(response.allowed, expected !== "denied");
    assert.equal(response.patchType, expected === "patched" ? "JSONPatch" : undefined);
    assert.equal(response.patch !== undefined, expected === "patched");
    assert.equal(response.status?.code, expected === "denied" ? 422 : undefined);
  });
}

test("/inject: the patch is that of the pod's owner, as JSON Patch", async () => {
  const ownerReferences = [{ kind: "ReplicaSet", name: "web-77", controller: true, apiVersion: "apps/v1" }];
  const { patch } = await decide("/inject", {
    object: pod({ generateName: "web-77-", labels: { "pod-template-hash": "77" }, ownerReferences }),
  });
  const operations = JSON.parse(Buffer.from(patch!, "base64").toString()) as {
    op: string;
    path: string;
    value: unknown;
  }[];
  const [label1] = operations.filter(({ path }) => path === "/metadata/labels/nsm.nginx.com~1deployment");
  assert.deepEqual(label1, { op: "add", path: "/metadata/labels/nsm.nginx.com~1deployment", value: "web" });
  assert.ok(operations.some(({ op, path }) => op === "add" && path === "/spec/initContainers"));
});

test("/inject: a refusal says the field, why, and the way out", async () => {
  const { status } = await decide("/inject", { object: pod({}, { hostNetwork: true }) });
  assert.match(status!.message, /spec\.hostNetwork: .*auto-inject: disabled/);
});

test("/inject: only the creation of pods matters", async () => {
  const deployment = { group: "apps", version: "v1", kind: "Deployment" };
  assert.equal((await decide("/inject", { object: pod(), operation: "UPDATE" })).patch, undefined);
  assert.equal((await decide("/inject", { object: pod(), kind: deployment })).patch, undefined);
});

const splits = { group: "split.smi-spec.io", version: "v1alpha3", kind: "TrafficSplit" };
function split(name: string | undefined, weights: readonly number[], metadata: object = {}): object {
  return {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { ...(name === undefined ? {} : { name }), managedFields: [{ of: "any kind" }], ...metadata },
    spec: {
      service: "web",
      backends: weights.map((weight, index) => ({ service: `web-v${index}`, weight })),
    },
  };
}

test("/validate: what is wrong is denied, what is missing is a warning, what is kept by the API server is not looked at", async () => {
  const validate = (more: object) => decide("/validate", { kind: splits, ...more });
  const wrong = await validate({ object: split("s", [0, 0], { newFieldOfKubernetes: 1 }) });
  assert.equal(wrong.allowed, false);
  assert.match(wrong.status!.message, /TrafficSplit meshed\/s: spec\.backends: all weights are 0/);
  const right = await validate({ object: split("s", [0, 1]) });
  assert.equal(right.allowed, true);
  assert.match(right.warnings!.join("\n"), /there is no Service meshed\/web-v1/);
  assert.equal((await validate({ object: split(undefined, [1], { generateName: "s-" }) })).allowed, true);
  const text = await validate({ object: { ...split("s", [1]), spec: "none" } });
  assert.match(text.status!.message, /spec: expected object/);
});

test("/validate: an object that was wrong before can be deleted, and lose its finalizer", async () => {
  const old = split("s", [0]);
  const validate = (more: object) =>
    decide("/validate", { kind: splits, operation: "UPDATE", oldObject: old, ...more });
  assert.equal((await validate({ operation: "DELETE", object: null })).allowed, true);
  assert.equal((await validate({ object: split("s", [0], { labels: { a: "b" } }) })).allowed, true);
  assert.equal((await validate({ object: split("s", [0, 0]) })).allowed, false);
});

test("/validate: another object that is in the way", async () => {
  objects.push(parseObject(split("first", [1], { managedFields: undefined }), "test").object!);
  const conflict = await decide("/validate", {
    kind: splits,
    namespace: "default",
    object: split("second", [1]),
  });
  assert.match(conflict.status!.message, /TrafficSplit default\/first already splits Service web/);
  const update = await decide("/validate", {
    kind: splits,
    namespace: "default",
    operation: "UPDATE",
    object: split("first", [2]),
    oldObject: split("first", [1]),
  });
  assert.equal(update.allowed, true);
  objects.length = 0;
});

const wrongs: readonly (readonly [string, Question, number])[] = [
  ["no JSON", { path: "/inject", body: "{" }, 400],
  ["no review", { path: "/validate", body: "{}" }, 400],
  ["an older version", { path: "/inject", body: review({}).replace("k8s.io/v1", "k8s.io/v1beta1") }, 400],
  ["another type", { path: "/inject", body: review({}), type: "text/plain" }, 415],
  ["another method", { path: "/inject", method: "PUT" }, 405],
  ["too long", { path: "/inject", body: Buffer.alloc(9 * 1024 * 1024, " ") }, 413],
  ["another path", { path: "/injection", body: review({}) }, 404],
];
for (const [title, question, status] of wrongs) {
  test(`a request that is wrong: ${title}: ${status}`, async () => {
    assert.equal((await ask(question)).status, status);
  });
}

test("who does not know the authority does not get in, nor does old TLS", async () => {
  await assert.rejects(ask({ path: "/inject", ca: "" }), { code: /SELF_SIGNED|UNABLE_TO_VERIFY/ });
  const { port } = admission.server.address() as AddressInfo;
  await assert.rejects(
    new Promise((resolve, reject) => {
      const options = {
        port,
        host: "127.0.0.1",
        servername,
        ca: store.bundle,
        maxVersion: "TLSv1.1" as const,
      };
      connect({ ...options, minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }, () =>
        resolve("connected"),
      ).on("error", reject);
    }),
    /protocol/i,
  );
});

test("the metrics Service's name is in the certificate too", () => {
  assert.match(messages.join("\n"), /^info: wrote a webhook certificate: there was none/);
  const certificate = new X509Certificate(store.stored!.certificate);
  assert.equal(
    certificate.subjectAltName,
    "DNS:nginx-mesh-webhook.nginx-mesh.svc, DNS:nginx-mesh-metrics.nginx-mesh.svc",
  );
});
