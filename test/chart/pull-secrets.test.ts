/** The registry's credentials in namespaces with sidecars: against a real API server, with the rights that the chart gives. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ApiServer, openApiServer } from "../../src/cluster/kubernetes/api-server.ts";
import { inCluster } from "../../src/cluster/kubernetes/in-cluster.ts";
import {
  keepPullSecrets,
  type PullSecrets,
  pullSecretName,
} from "../../src/controller/kubernetes/pull-secrets.ts";
import { Secret } from "../../src/identity/secret.ts";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { find, objectsOf, render } from "./render.ts";

/** One that the API server of tests has a token for. */
const meshNamespace = "mesh-a";
const account = "nginx-mesh-controller";
const roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const credentials = { server: "registry.example.com", username: "user", password: "hidden" };
const rules = find(objectsOf(render({ registry: credentials })), "ClusterRole", "nginx-mesh-controller")[
  "rules"
];
const without = find(objectsOf(render({})), "ClusterRole", "nginx-mesh-controller")["rules"];

let api: KubeApi;
let controller: ApiServer;
let kept: PullSecrets | undefined;
const errors: string[] = [];

const folder = (namespace: string): string => `/api/v1/namespaces/${namespace}/secrets`;

async function grant(given: unknown): Promise<void> {
  const contentType = "application/merge-patch+json";
  await api.admin.send({ method: "PATCH", path: `${roles}/controller`, body: { rules: given }, contentType });
}

before(async () => {
  api = await startKubeApi();
  const post = (path: string, body: object): Promise<unknown> =>
    api.admin.send({ method: "POST", path, body });
  for (const name of [meshNamespace, "a", "b", "old", "ending"]) {
    await post("/api/v1/namespaces", { metadata: { name } });
  }
  await post(roles, { metadata: { name: "controller" }, rules });
  await post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    metadata: { name: "controller" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "controller" },
    subjects: [{ kind: "ServiceAccount", name: account, namespace: meshNamespace }],
  });
  const environment = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: `${api.port}` };
  controller = openApiServer(inCluster(environment, await api.credentials(meshNamespace, account)));
});

afterEach(async () => {
  await kept?.close();
  errors.length = 0;
});

after(async () => {
  controller?.close();
  await api?.stop();
});

function keep(content: () => string): PullSecrets {
  kept = keepPullSecrets({
    api: controller,
    content: () => new Secret(Buffer.from(content())),
    onError: (message) => void errors.push(message),
    pauses: { retry: 100, look: 200 },
  });
  return kept;
}

interface StoredSecret {
  readonly metadata: { readonly uid: string };
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
}

async function storedIn(namespace: string): Promise<StoredSecret | undefined> {
  const path = `${folder(namespace)}/${pullSecretName}`;
  const found = await api.admin.send({ method: "GET", path }).catch(() => undefined);
  return found as StoredSecret | undefined;
}

/** What is in the namespace's copy; undefined: there is none, or none that a kubelet takes for credentials. */
async function copyIn(namespace: string): Promise<string | undefined> {
  const found = await storedIn(namespace);
  return found?.type === "kubernetes.io/dockerconfigjson"
    ? Buffer.from(found.data[".dockerconfigjson"]!, "base64").toString()
    : undefined;
}

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 90_000; !(await isSo()); await sleep(20)) {
    assert.ok(Date.now() < end, `${what}; errors: ${errors.join("; ")}`);
  }
}

const first = '{"auths":{"registry.example.com":{"auth":"one"}}}';
const second = '{"auths":{"registry.example.com":{"auth":"two"}}}';

test("every namespace has a copy, also where an old one was; a namespace that is going is let be", async () => {
  const old = { metadata: { name: pullSecretName }, type: "Opaque", data: { ".dockerconfigjson": "AAAA" } };
  await api.admin.send({ method: "POST", path: folder("old"), body: old });
  await api.admin.send({ method: "DELETE", path: "/api/v1/namespaces/ending" });
  keep(() => first).update(new Set(["ending", "a", "b", "old", "not-there"]));
  for (const namespace of ["a", "b", "old"]) {
    await until(`a copy in ${namespace}`, async () => (await copyIn(namespace)) === first);
  }
  await until("a pass", () => errors.length > 0);
  assert.deepEqual([...new Set(errors)], [""]);
});

test("other credentials are copied, what somebody deletes is made again, what is not wanted goes", async () => {
  let content = first;
  const pullSecrets = keep(() => content);
  pullSecrets.update(new Set(["a", "b"]));
  await until("the copy", async () => (await copyIn("b")) === first);
  content = second;
  await until("the new one", async () => (await copyIn("a")) === second && (await copyIn("b")) === second);
  await api.admin.send({ method: "DELETE", path: `${folder("a")}/${pullSecretName}` });
  await until("another", async () => (await copyIn("a")) === second);
  const [{ uid }, passes] = [(await storedIn("b"))!.metadata, errors.length];
  await until("looks at it", () => errors.length > passes + 2);
  assert.equal((await storedIn("b"))?.metadata.uid, uid, "what is as it should be is not made anew");
  await api.admin.send({ method: "POST", path: folder("b"), body: { metadata: { name: "other" } } });
  pullSecrets.update(new Set(["a"]));
  await until("one is gone", async () => (await copyIn("b")) === undefined);
  assert.equal(await copyIn("a"), second);
  await api.admin.send({ method: "GET", path: `${folder("b")}/other` });
});

test("what may not be done is told with verb and resource, and done once it may be", async () => {
  const user = `system:serviceaccount:${meshNamespace}:${account}`;
  const mayCreate = (): Promise<boolean> => api.may(user, "create", "secrets", { group: "", namespace: "b" });
  assert.ok(await mayCreate());
  await grant(without);
  await until("the right is gone", async () => !(await mayCreate()));
  keep(() => second).update(new Set(["b"]));
  const wanted =
    /^cannot copy the registry's credentials, Secret nginx-mesh-registry-key, to the namespace b, .*let the controller's ServiceAccount "create" the resource "secrets"/;
  await until("the error", () => errors.some((each) => wanted.test(each)));
  assert.equal(await copyIn("b"), undefined);
  await grant(rules);
  await until("the copy", async () => (await copyIn("b")) === second);
  await until("no error", () => errors.at(-1) === "");
});

test("the controller can read no Secret, and delete no other", async () => {
  const refusal = { status: 403 };
  for (const name of [pullSecretName, "other"]) {
    const path = `${folder("b")}/${name}`;
    await assert.rejects(controller.send({ method: "GET", path }), refusal);
    const contentType = "application/merge-patch+json";
    await assert.rejects(controller.send({ method: "PATCH", path, body: {}, contentType }), refusal);
  }
  await assert.rejects(controller.send({ method: "GET", path: folder("b") }), refusal);
  await assert.rejects(controller.send({ method: "DELETE", path: `${folder("b")}/other` }), refusal);
});
