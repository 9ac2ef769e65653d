/** The control plane's workloads and the pods of the mesh, as the cluster knows them. */
import { podsOf } from "./cluster-mesh.ts";
import { isDenied, type KubeClient } from "./kube-client.ts";
import { itemsOf, type Pod, podSchema, type Workload, workloadSchema } from "./kube-objects.ts";
import { isReady, podTrouble } from "./pod-trouble.ts";
import type { MeshPart, MeshPod, MeshStatus } from "./status-text.ts";
import { creationTrouble } from "./workload-trouble.ts";

const kinds = [
  ["Deployment", "deployments"],
  ["StatefulSet", "statefulsets"],
  ["DaemonSet", "daemonsets"],
] as const;

/** How many pods a workload wants, and how many of its newest form are ready. Pure. */
export function countsOf(workload: Workload): { readonly ready: number; readonly wanted: number } {
  const { metadata, spec, status } = workload;
  const seen = status.observedGeneration >= metadata.generation;
  if (status.desiredNumberScheduled !== undefined) {
    const ready = Math.min(status.numberReady, status.updatedNumberScheduled);
    // on how many nodes is not known before it was seen
    const wanted = status.desiredNumberScheduled;
    return seen ? { ready, wanted } : { ready: 0, wanted: Math.max(1, wanted) };
  }
  const ready = Math.min(status.readyReplicas, status.updatedReplicas);
  return { ready: seen ? ready : 0, wanted: spec.replicas ?? 1 };
}

async function partOf(client: KubeClient, kind: string, workload: Workload): Promise<MeshPart> {
  const counts = countsOf(workload);
  const name = `${kind} ${workload.metadata.name}`;
  if (counts.ready >= counts.wanted) {
    return { name, ...counts, troubles: [] };
  }
  const pods = await podsOf(client, workload);
  const missing = pods.length < counts.wanted ? await creationTrouble(client, workload) : undefined;
  const unready = pods.filter((pod) => !isReady(pod));
  return {
    name,
    ...counts,
    troubles: [
      ...(missing === undefined ? [] : [missing]),
      ...unready.map((pod) => `pod ${pod.metadata.name}: ${podTrouble(pod)}`),
    ],
  };
}

async function partsOfKind(
  client: KubeClient,
  namespace: string,
  [kind, resource]: (typeof kinds)[number],
): Promise<readonly MeshPart[]> {
  const path = `/apis/apps/v1/namespaces/${namespace}/${resource}`;
  const workloads = itemsOf(workloadSchema, await client.json({ path }), resource);
  return Promise.all(workloads.map((workload) => partOf(client, kind, workload)));
}

function inOrder(lists: readonly (readonly MeshPart[])[]): readonly MeshPart[] {
  return lists.flat().sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The workloads of the mesh's namespace. Throws CommandError. */
export async function clusterParts(client: KubeClient, namespace: string): Promise<readonly MeshPart[]> {
  return inOrder(await Promise.all(kinds.map((kind) => partsOfKind(client, namespace, kind))));
}

/** Those that this user may see, and why the others cannot be seen. Throws CommandError. */
export async function visibleParts(
  client: KubeClient,
  namespace: string,
): Promise<Pick<MeshStatus, "parts" | "unseen">> {
  const unseen: string[] = [];
  const lists = kinds.map(async (kind) => {
    try {
      return await partsOfKind(client, namespace, kind);
    } catch (error) {
      if (!isDenied(error)) {
        throw error;
      }
      unseen.push(error.message);
      return [];
    }
  });
  return { parts: inOrder(await Promise.all(lists)), unseen: unseen.sort() };
}

/** Path of all pods that have a sidecar. */
export const injectedPodsPath = `/api/v1/pods?labelSelector=${encodeURIComponent("injector.nsm.nginx.com/status=injected")}`;

/** The pods with a sidecar; none when this user may not list the pods of the cluster. Throws CommandError. */
export async function injectedPods(client: KubeClient): Promise<readonly Pod[]> {
  try {
    return itemsOf(podSchema, await client.json({ path: injectedPodsPath }), "pods");
  } catch (error) {
    if (isDenied(error)) {
      return [];
    }
    throw error;
  }
}

export async function clusterPods(client: KubeClient): Promise<readonly MeshPod[]> {
  const pods = await injectedPods(client);
  return pods
    .filter((pod) => pod.status.phase !== "Succeeded" && pod.status.phase !== "Failed")
    .map((pod) => ({
      namespace: pod.metadata.namespace,
      name: pod.metadata.name,
      ready: isReady(pod),
      terminating: pod.metadata.deletionTimestamp !== undefined,
      meshed: true,
      trouble: `: ${podTrouble(pod)}`,
    }));
}
