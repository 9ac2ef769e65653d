/** nginx-meshctl against a real API server without nodes: what it makes, finds, refuses and removes. No pod starts. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { chartGroups } from "../../src/cli/release-objects.ts";
import { attempt, chart, helms } from "../chart/programs.ts";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { runMeshctl, type Ended } from "./meshctl.ts";

const folder = mkdtempSync(join(tmpdir(), "meshctl-api-"));
const records = "/api/v1/namespaces/nginx-mesh/secrets?labelSelector=owner%3Dhelm";
const settings = "/apis/nsm.nginx.com/v1alpha2/namespaces/nginx-mesh/meshconfigs/nginx-mesh-config";
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const controller = "/apis/apps/v1/namespaces/nginx-mesh/deployments/nginx-mesh-controller";
const roleBindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings";
const clusterRoles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const clusterRoleBindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
/** As the controller makes it in namespaces of applications. */
const credentials = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: {
    name: "nginx-mesh-registry-key",
    labels: { "app.kubernetes.io/managed-by": "nginx-mesh-controller" },
  },
};
/** Token of an account that is given what a test says. */
const nobody = "token-of-mesh-a-nobody";

let api: KubeApi;
let kubeconfig: string;

before(async () => {
  api = await startKubeApi();
  kubeconfig = await api.kubeconfig();
});
after(async () => {
  await api?.stop();
  rmSync(folder, { recursive: true });
});

interface AnyObject {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels?: Record<string, string>;
    readonly managedFields?: readonly { readonly manager: string }[];
  };
  // oxlint-disable-next-line no-explicit-any -- of any kind; a test knows which
  readonly [field: string]: any;
}

const read = (path: string): Promise<AnyObject> =>
  api.admin.send({ method: "GET", path }) as Promise<AnyObject>;
const list = async (path: string): Promise<readonly AnyObject[]> =>
  ((await read(path)) as unknown as { items: AnyObject[] }).items;
const change = (method: string, path: string, body: object): Promise<unknown> =>
  api.admin.send({
    method,
    path,
    body,
    ...(method === "PATCH" ? { contentType: "application/merge-patch+json" } : {}),
  } as never);
const discard = (path: string): Promise<unknown> => api.admin.send({ method: "DELETE", path });

const meshctl = (
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> => runMeshctl(args, { KUBECONFIG: kubeconfig, ...environment });

/** Without nodes nothing gets ready, so all but the end of a deployment can be seen. */
async function deployed(helm: string, ...flags: readonly string[]): Promise<Ended> {
  const ended = await meshctl(["deploy", "-t", "12s", ...flags], { HELM: helm });
  assert.equal(ended.status, 1, ended.stderr);
  assert.match(
    ended.stderr,
    /is installed, but not ready in time:[^]*Deployment nginx-mesh-controller: 0 of 1/,
  );
  return ended;
}

async function deploy(helm: string, ...flags: readonly string[]): Promise<string> {
  return (await deployed(helm, ...flags)).stdout;
}

test("no mesh: every command says so, and what to do", async () => {
  for (const command of ["status", "services", "config", "top", "upgrade"]) {
    const { status, stderr } = await meshctl([command], { HELM: helms["helm 3"] });
    assert.equal(status, 2);
    assert.match(
      stderr,
      /no mesh is installed in namespace nginx-mesh of cluster "test" .*nginx-meshctl deploy/,
    );
  }
  const removed = await meshctl(["remove", "-y"]);
  assert.match(removed.stderr, /there is nothing of a mesh in namespace nginx-mesh/);
  const version = await meshctl(["version"]);
  assert.deepEqual([version.status, version.stdout.split("\n").length], [0, 2]);
});

test("deploy without helm, and with one that is too old", async () => {
  const none = await meshctl(["deploy"], { PATH: folder });
  assert.equal(none.status, 2);
  assert.match(none.stderr, /needs helm 3\.14 or newer, and there is none in the path/);
  const old = join(folder, "helm");
  writeFileSync(old, "#!/bin/sh\necho v3.9.1\n", { mode: 0o755 });
  assert.match(
    (await meshctl(["deploy"], { HELM: old })).stderr,
    /is helm v3\.9\.1; 3\.14 or newer is needed/,
  );
});

/** A kubeconfig with another token. */
function kubeconfigWith(token: string): string {
  const config = JSON.parse(readFileSync(kubeconfig, "utf8")) as { users: [{ user: { token: string } }] };
  config.users[0].user.token = token;
  const file = join(folder, token);
  writeFileSync(file, JSON.stringify(config));
  return file;
}

test("a user who may not: which verb on which resource", async () => {
  const { status, stderr } = await meshctl(["status", "-k", kubeconfigWith(nobody), "-n", "nginx-mesh"]);
  assert.equal(status, 2);
  assert.match(
    stderr,
    /does not allow this user to get deployments\.apps "nginx-mesh-controller" in namespace nginx-mesh/,
  );
  assert.match(
    (await meshctl(["status", "-k", kubeconfigWith("wrong")])).stderr,
    /does not accept the credentials/,
  );
});

test("a definition that another SPIRE has brought stays as it is", async () => {
  const text = readFileSync(join(chart, "crds/clusterspiffeids.spire.spiffe.io.yaml"), "utf8");
  const ours = parse(text, { version: "1.1" }) as AnyObject;
  const { name, labels } = ours.metadata;
  await change("POST", `${definitions}?fieldManager=helm`, { ...ours, metadata: { name } });
  const failing = join(folder, "failing");
  writeFileSync(failing, '#!/bin/sh\n[ "$1" = version ] && echo v4.0.0\n', { mode: 0o755 });
  const deployAgain = async (): Promise<object> => {
    const { stderr } = await meshctl(["deploy"], { HELM: failing });
    const { metadata } = await read(`${definitions}/${name}`);
    const managers = metadata.managedFields?.map(({ manager }) => manager);
    return {
      told: stderr.includes("another SPIRE has brought it"),
      changed: managers?.includes("nginx-meshctl"),
    };
  };
  assert.deepEqual(await deployAgain(), { told: true, changed: false });
  await change("PATCH", `${definitions}/${name}`, { metadata: { labels } });
  assert.deepEqual(await deployAgain(), { told: false, changed: true });
});

for (const [name, helm] of Object.entries(helms)) {
  test(`${name}: deploy with flags`, async () => {
    const slow = join(folder, "slow");
    writeFileSync(slow, `#!/bin/sh\n[ "$1" = upgrade ] && sleep 1.5\nexec ${helm} "$@"\n`, { mode: 0o755 });
    const { stdout: printed, stderr } = await deployed(
      slow,
      "--mtls-mode",
      "strict",
      "--client-max-body-size",
      "2m",
    );
    assert.match(stderr, /helm writes the objects of release nginx-mesh \.\.\./);
    assert.match(printed, /storage +off: the cluster has no default storage class/);
    assert.match(printed, /release +nginx-mesh, revision 1/);
    const { spec } = await read(settings);
    assert.deepEqual([spec.mtls.mode, spec.clientMaxBodySize], ["strict", "2m"]);
    const { metadata } = await read("/api/v1/namespaces/nginx-mesh");
    assert.equal(metadata.labels?.["app.kubernetes.io/managed-by"], "nginx-meshctl");
  });

  test(`${name}: deploy again keeps what was given before`, async () => {
    assert.match(await deploy(helm, "--client-max-body-size", "3m"), /revision 2/);
    const { spec } = await read(settings);
    assert.deepEqual([spec.mtls.mode, spec.clientMaxBodySize], ["strict", "3m"]);
  });

  test(`${name}: deploy after one that was interrupted`, async () => {
    const [newest] = (await list(records)).toSorted(
      (a, b) => Number(b.metadata.labels?.["version"]) - Number(a.metadata.labels?.["version"]),
    );
    assert.ok(newest);
    const longAgo = String(Math.floor(Date.now() / 1000) - 60);
    const labels = { status: "pending-upgrade", modifiedAt: longAgo };
    await change("PATCH", `/api/v1/namespaces/nginx-mesh/secrets/${newest.metadata.name}`, {
      metadata: { labels },
    });
    // and some of what it had made is missing
    await discard(controller);
    const printed = await deploy(helm);
    assert.match(printed, /an interrupted deployment is taken up again \(pending-upgrade\)/);
    await read(controller);
    const { spec } = await read(settings);
    assert.equal(spec.mtls.mode, "strict");
  });

  test(`${name}: a deployment that another has begun just now is waited for`, async () => {
    const [newest] = (await list(records)).toSorted(
      (a, b) => Number(b.metadata.labels?.["version"]) - Number(a.metadata.labels?.["version"]),
    );
    assert.ok(newest);
    const path = `/api/v1/namespaces/nginx-mesh/secrets/${newest.metadata.name}`;
    const now = String(Math.floor(Date.now() / 1000));
    await change("PATCH", path, { metadata: { labels: { status: "pending-upgrade", modifiedAt: now } } });
    const { status, stderr } = await meshctl(["deploy", "-t", "4s"], { HELM: helm });
    assert.equal(status, 2);
    assert.match(stderr, /another deployment of the mesh in namespace nginx-mesh is under way/);
    await change("PATCH", path, { metadata: { labels: { status: "deployed" } } });
  });

  test(`${name}: the controller is not ready: why`, async () => {
    const { status, stderr } = await meshctl(["status"]);
    assert.equal(status, 2);
    assert.match(stderr, /the controller of the mesh in namespace nginx-mesh is not ready: it has no pods/);
    const waited = await meshctl(["status", "--wait", "2500ms"]);
    assert.equal(waited.status, 2);
    assert.match(waited.stderr, /^waiting:\n {2}the controller .* is not ready: it has no pods\n/m);
  });

  test(`${name}: why the controller and SPIRE's agents have no pods`, async () => {
    await change("PATCH", `${controller}/status`, {
      status: { conditions: [{ type: "ReplicaFailure", status: "True", message: "exceeded quota: pods" }] },
    });
    const { metadata } = await read("/apis/apps/v1/namespaces/nginx-mesh/daemonsets/spire-agent");
    for (const [message, lastTimestamp] of [
      ["violates PodSecurity", "2026-01-01T00:00:02Z"],
      ["an older reason", "2026-01-01T00:00:01Z"],
    ]) {
      await change("POST", "/api/v1/namespaces/nginx-mesh/events", {
        metadata: { generateName: "spire-agent-" },
        involvedObject: {
          kind: "DaemonSet",
          namespace: "nginx-mesh",
          name: "spire-agent",
          uid: metadata.uid,
        },
        reason: "FailedCreate",
        message,
        lastTimestamp,
      });
    }
    const { stderr } = await deployed(helm);
    assert.match(
      stderr,
      /Deployment nginx-mesh-controller: 0 of 1.*\n {4}its pods cannot be made: exceeded quota/,
    );
    assert.match(
      stderr,
      /DaemonSet spire-agent: 0 of 1.*\n {4}its pods cannot be made: violates PodSecurity/,
    );
    assert.doesNotMatch(stderr, /an older reason/);
    assert.match((await meshctl(["status"])).stderr, /is not ready: its pods cannot be made: exceeded quota/);
    await change("PATCH", `${controller}/status`, { status: { conditions: [] } });
  });

  test(`${name}: a support package without the right to list pods has all else`, async () => {
    await allowNobody(["apps"]);
    const made = await meshctl([
      "supportpkg",
      "-n",
      "nginx-mesh",
      "-o",
      folder,
      "-k",
      kubeconfigWith(nobody),
    ]);
    assert.equal(made.status, 1, made.stderr);
    const archive = /^(\S+\.tar\.gz): /m.exec(made.stdout)?.[1] ?? "";
    const errors = attempt("tar", [
      "--extract",
      "--gzip",
      "--to-stdout",
      "--wildcards",
      "--file",
      archive,
      "*/errors.txt",
    ]);
    assert.match(errors.stdout, /^logs\/: .*does not allow this user to list pods in namespace nginx-mesh/m);
    await denyNobody();
  });

  test(`${name}: a second mesh is refused`, async () => {
    const { status, stderr } = await meshctl(["deploy", "-n", "elsewhere"], { HELM: helm });
    assert.equal(status, 2);
    assert.match(stderr, /has a mesh in namespace nginx-mesh already/);
    const missing = await meshctl(["status", "-n", "elsewhere"]);
    assert.match(
      missing.stderr,
      /no mesh is installed in namespace elsewhere .*, but in nginx-mesh: choose with --namespace/,
    );
  });

  test(`${name}: upgrade keeps the settings, and asks first`, async () => {
    const asked = await meshctl(["upgrade"], { HELM: helm });
    assert.match(asked.stderr, /say --yes to go on/);
    const { status, stdout } = await meshctl(["upgrade", "-y", "-t", "8s"], { HELM: helm });
    assert.equal(status, 1);
    assert.match(stdout, /CustomResourceDefinitions are up to date/);
    assert.equal((await read(settings))["spec"].mtls.mode, "strict");
  });

  test(`${name}: another authority, and another way to log in to the registry, replace the former`, async () => {
    const disk = authority("disk", "{cert_file_path: ca.pem, key_file_path: ca.pem}");
    const login = ["--registry-username", "u", "--registry-password", "p"];
    await deploy(helm, ...disk, "--registry-server", "registry.test", ...login);
    assert.deepEqual(await upstreamKeys(), ["cert.pem", "key.pem"]);
    const token = "{vault_addr: 'https://v', ca_cert_path: ca.pem, token_auth: {token: t}}";
    await deploy(helm, ...authority("vault", token), "--registry-key", join(folder, "ca.pem"));
    assert.deepEqual(await upstreamKeys(), ["UPSTREAM_VAULT_TOKEN", "ca.pem"]);
    const role = "{vault_addr: 'https://v', approle_auth: {approle_id: i, approle_secret_id: s}}";
    await deploy(helm, ...authority("vault", role), ...login);
    assert.deepEqual(await upstreamKeys(), ["UPSTREAM_VAULT_APPROLE_SECRET_ID"]);
    const key = await read("/api/v1/namespaces/nginx-mesh/secrets/nginx-mesh-registry-key");
    const { auths } = JSON.parse(Buffer.from(key["data"][".dockerconfigjson"], "base64").toString());
    assert.deepEqual([auths["registry.test"].username, auths["registry.test"].password], ["u", "p"]);
  });

  test(`${name}: upgrade does not install defaults over a removal that was interrupted`, async () => {
    const [newest] = await list(`${records},status=deployed`);
    assert.ok(newest);
    const path = `/api/v1/namespaces/nginx-mesh/secrets/${newest.metadata.name}`;
    await change("PATCH", path, { metadata: { labels: { status: "uninstalling" } } });
    const { status, stderr } = await meshctl(["upgrade", "-y", "-t", "8s"], { HELM: helm });
    assert.equal(status, 2, stderr);
    assert.match(stderr, /settings to keep are not known.*"nginx-meshctl deploy"/);
    await assert.rejects(read(controller), /not found/);
    assert.deepEqual(await list(records), []);
    await deploy(helm);
  });

  test(`${name}: remove by a user who may not list a kind deletes nothing, and says which`, async () => {
    await allowNobody(chartGroups.filter((group) => group !== "admissionregistration.k8s.io"));
    const { status, stderr } = await meshctl(["remove", "-y", "-k", kubeconfigWith(nobody)]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /not all objects of the mesh can be found, so none is deleted:/);
    assert.match(stderr, /list mutatingwebhookconfigurations\.admissionregistration\.k8s\.io/);
    await read(controller);
    assert.notDeepEqual(await list(records), []);
    await denyNobody();
  });

  test(`${name}: remove of a mesh whose record is lost, twice`, async () => {
    for (const { metadata } of await list(records)) {
      await discard(`/api/v1/namespaces/nginx-mesh/secrets/${metadata.name}`);
    }
    await discard(controller);
    await read(`${roleBindings}/nginx-mesh-controller-authentication`);
    await change("POST", "/api/v1/namespaces/default/secrets", credentials);
    const removed = await meshctl(["remove", "-y"]);
    assert.equal(removed.status, 0, removed.stderr);
    await assert.rejects(read(`${roleBindings}/nginx-mesh-controller-authentication`), /not found/);
    assert.match(removed.stdout, /kubectl -n default delete secret nginx-mesh-registry-key/);
    await discard("/api/v1/namespaces/default/secrets/nginx-mesh-registry-key");
    assert.match(removed.stdout, /removed \d\d objects of the mesh/);
    assert.match(removed.stdout, /kubectl delete crd trafficsplits/);
    assert.deepEqual(await list(hooks), []);
    const roles = await list(clusterRoles);
    assert.deepEqual(
      roles.filter((role) => role.metadata.name.startsWith("nginx-mesh")),
      [],
    );
    const { status } = await read("/api/v1/namespaces/nginx-mesh");
    assert.equal(status.phase, "Terminating");
    await finalize();
    const again = await meshctl(["remove", "-y"]);
    assert.match(again.stderr, /there is nothing of a mesh/);
  });
}

/** Flags for a file of an authority, beside a file ca.pem. */
function authority(name: string, config: string): readonly string[] {
  const file = join(folder, "authority.yaml");
  const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  writeFileSync(join(folder, "ca.pem"), pem);
  writeFileSync(file, `apiVersion: v1\nupstreamAuthority: ${name}\nconfig: ${config}\n`);
  return ["--mtls-upstream-ca-conf", file];
}

async function upstreamKeys(): Promise<readonly string[]> {
  const secret = await read("/api/v1/namespaces/nginx-mesh/secrets/spire-upstream-authority");
  return Object.keys(secret["data"] ?? secret["stringData"]).sort();
}

/** Gives the account all rights in these groups; they count a moment later. */
async function allowNobody(apiGroups: readonly string[]): Promise<void> {
  const metadata = { name: "nobody" };
  await change("POST", clusterRoles, { metadata, rules: [{ apiGroups, resources: ["*"], verbs: ["*"] }] });
  await change("POST", clusterRoleBindings, {
    metadata,
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "nobody" },
    subjects: [{ kind: "ServiceAccount", namespace: "mesh-a", name: "nobody" }],
  });
  const account = "system:serviceaccount:mesh-a:nobody";
  while (!(await api.may(account, "list", "deployments", { group: "apps", namespace: "" }))) {
    await sleep(50);
  }
}

async function denyNobody(): Promise<void> {
  await discard(`${clusterRoleBindings}/nobody`);
  await discard(`${clusterRoles}/nobody`);
}

/** What the controller manager does when the last object of a namespace is gone; there is none here. */
async function finalize(): Promise<void> {
  const paths = ["secrets", "configmaps"].map((kind) => `/api/v1/namespaces/nginx-mesh/${kind}`);
  for (const path of paths) {
    await discard(path);
  }
  const namespace = await read("/api/v1/namespaces/nginx-mesh");
  await change("PUT", "/api/v1/namespaces/nginx-mesh/finalize", { ...namespace, spec: { finalizers: [] } });
}
