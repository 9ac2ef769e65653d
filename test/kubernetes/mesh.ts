/** The mesh on the cluster: installed from the chart of this checkout, with the images that the test bed has imported. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describeNamespace } from "./diagnostics.ts";
import { answerOf, type Answer, type Request } from "./app.ts";
import {
  attempt,
  getObjects,
  isReady,
  kubectl,
  type KubernetesObject,
  namespaceNamed,
  run,
  until,
  type Ended,
  type Namespace,
} from "./fixture.ts";

const checkout = join(import.meta.dirname, "../..");
export const chart = join(checkout, "charts/nginx-mesh");
export const meshNamespace = "nginx-mesh";
export const release = "nginx-mesh";
export const trustDomain = "example.org";
/** Label of a namespace whose pods are injected. */
export const injected = { "injector.nsm.nginx.com/auto-inject": "enabled" } as const;
export const sidecar = "nginx-mesh-sidecar";

/** More values for the chart, as `--set` has them; TEST_HELM_VALUES names a file with those of another cluster. */
export function chartValues(values: Readonly<Record<string, string>> = {}): readonly string[] {
  const file = process.env["TEST_HELM_VALUES"];
  const own = {
    "registry.server": "testbed.local",
    "registry.disablePublicImages": "true",
    ...values,
  };
  const sets = file === undefined ? own : values;
  return [
    ...(file === undefined ? [] : ["--values", file]),
    ...Object.entries(sets).flatMap(([name, value]) => ["--set", `${name}=${value}`]),
  ];
}

/** Installs or upgrades, and waits until all of it is ready; on failure the message has what the mesh's namespace says. */
export async function installMesh(values: Readonly<Record<string, string>> = {}): Promise<void> {
  const where = ["--namespace", meshNamespace, "--create-namespace"];
  const wait = ["--wait", "--timeout", "300s"];
  const ended = await attempt(
    "helm",
    ["upgrade", "--install", release, chart, ...where, ...wait, ...chartValues(values)],
    {
      timeout: 320,
    },
  );
  if (ended.status !== 0) {
    throw new Error(`helm: ${ended.stderr}\n${await describeNamespace(meshNamespace)}`);
  }
}

/** Removes the mesh and its namespace, and waits for both. The CRDs stay, as after a user's `helm uninstall`. */
export async function uninstallMesh(): Promise<void> {
  const args = ["uninstall", release, "--namespace", meshNamespace, "--ignore-not-found", "--wait"];
  await run("helm", args, { timeout: 120 });
  await run("kubectl", ["delete", "namespace", meshNamespace, "--ignore-not-found"], { timeout: 120 });
  await freeVolumes();
}

/** Volumes of the test bed whose claim is gone can be claimed again. */
export async function freeVolumes(): Promise<void> {
  for (const volume of await getObjects("persistentvolumes")) {
    if (volume["status"].phase === "Released" && volume.metadata.labels?.["testbed/volume"] === "true") {
      const patch = JSON.stringify({ spec: { claimRef: null } });
      await kubectl("patch", "persistentvolume", volume.metadata.name, "--patch", patch);
    }
  }
}

/** Installs unless the mesh is there already with the default values: test files share one. */
export async function ensureMesh(): Promise<void> {
  await installMesh();
}

/** Sets a field of the mesh's settings, as a user does. */
export async function setMeshConfig(spec: object): Promise<void> {
  const patch = JSON.stringify({ spec });
  await kubectl(
    "-n",
    meshNamespace,
    "patch",
    "meshconfig",
    "nginx-mesh-config",
    "--type=merge",
    "--patch",
    patch,
  );
}

export function isInjected(pod: KubernetesObject): boolean {
  const spec = pod["spec"] as { containers: { name: string }[]; initContainers?: { name: string }[] };
  return [...spec.containers, ...(spec.initContainers ?? [])].some(({ name }) => name === sidecar);
}

export type Mode = "off" | "permissive" | "strict";
export const modeAnnotation = (mode: Mode): Readonly<Record<string, string>> => ({
  "config.nsm.nginx.com/mtls-mode": mode,
});

/** A request from the application of a pod, with its answer; throws when there was none. */
export async function get(namespace: Namespace, selector: string, url: string): Promise<Answer> {
  const ended: Ended = await namespace.exec(selector, "app", "/app", "get", url);
  const answer = answerOf(ended);
  if (answer === undefined) {
    throw new Error(`no answer from ${url}: ${ended.stderr}`);
  }
  return answer;
}

/** As `get`, of pods or a Service that the node's kube-proxy, or a sidecar, may hear of a moment later. */
export function getSoon(namespace: Namespace, selector: string, url: string): Promise<Answer> {
  return until(`an answer from ${url}`, 20, () => get(namespace, selector, url));
}

/** SPIFFE ID of the caller that the server was told; undefined for a request over plain text. */
export function callerOf(answer: Answer): string | undefined {
  const request = JSON.parse(answer.body) as Request;
  const [certificate] = request.headers["X-Forwarded-Client-Cert"] ?? [];
  return /URI=([^;]+)/.exec(certificate ?? "")?.[1];
}

export const identity = (namespace: string, serviceAccount: string): string =>
  `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;

/** All pods of the mesh's namespace that have this part's name in theirs. */
export async function meshPods(part: string): Promise<readonly KubernetesObject[]> {
  return (await namespaceNamed(meshNamespace).pods()).filter((pod) => pod.metadata.name.startsWith(part));
}

/** Deletes the pods of a part of the mesh and waits for new ones that are ready. */
export async function replacePods(part: string): Promise<void> {
  const old = await meshPods(part);
  const names = old.map((pod) => pod.metadata.name);
  await kubectl("-n", meshNamespace, "delete", "pod", ...names, "--grace-period=0", "--force");
  await until(`new pods of ${part}`, 90, async () => {
    const now = await meshPods(part);
    const uids = new Set(old.map((pod) => (pod.metadata as { uid?: string }).uid));
    const fresh = now.filter((pod) => !uids.has((pod.metadata as { uid?: string }).uid));
    return fresh.length >= old.length && fresh.every(isReady) ? true : undefined;
  });
}

/** Version of the checkout, for tests of what is shown. */
export const version = (
  JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string }
).version;

if (!existsSync(join(chart, "Chart.yaml"))) {
  throw new Error(`there is no chart in ${chart}`);
}
