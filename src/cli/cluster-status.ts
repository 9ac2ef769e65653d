/** The control plane's workloads and the pods of the mesh, as the cluster knows them. */
import { podsOf } from "./cluster-mesh.ts";
import { type KubeClient, KubeError } from "./kube-client.ts";
import { itemsOf, type Pod, podSchema, type Workload, workloadSchema } from "./kube-objects.ts";
import { isReady, podTrouble } from "./pod-trouble.ts";
import type { MeshPart, MeshPod } from "./status-text.ts";

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
  const pods = counts.ready < counts.wanted ? await podsOf(client, workload) : [];
  return {
    name: `${kind} ${workload.metadata.name}`,
    ...counts,
    troubles: pods
      .filter((pod) => !isReady(pod))
      .map((pod) => `pod ${pod.metadata.name}: ${podTrouble(pod)}`),
  };
}

/** The workloads of the mesh's namespace. Throws CommandError. */
export async function clusterParts(client: KubeClient, namespace: string): Promise<readonly MeshPart[]> {
  const lists = await Promise.all(
    kinds.map(async ([kind, resource]) => {
      const path = `/apis/apps/v1/namespaces/${namespace}/${resource}`;
      const workloads = itemsOf(workloadSchema, await client.json({ path }), resource);
      return Promise.all(workloads.map((workload) => partOf(client, kind, workload)));
    }),
  );
  return lists.flat().sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Path of all pods that have a sidecar. */
export const injectedPodsPath = `/api/v1/pods?labelSelector=${encodeURIComponent("injector.nsm.nginx.com/status=injected")}`;

/** The pods with a sidecar; none when this user may not list the pods of the cluster. Throws CommandError. */
export async function injectedPods(client: KubeClient): Promise<readonly Pod[]> {
  try {
    return itemsOf(podSchema, await client.json({ path: injectedPodsPath }), "pods");
  } catch (error) {
    if (error instanceof KubeError && error.code === 403) {
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
