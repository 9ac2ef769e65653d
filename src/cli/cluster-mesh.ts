/** The mesh of a cluster: whether one is installed, and which pod of its controller answers. */
import { request } from "node:http";
import type { Duplex } from "node:stream";

import { ask } from "./ask.ts";
import { CommandError } from "./errors.ts";
import { isDenied, jsonIfThere, type KubeClient, KubeError } from "./kube-client.ts";
import { itemsOf, objectOf, type Pod, podSchema, type Workload, workloadSchema } from "./kube-objects.ts";
import { isReady, podTrouble } from "./pod-trouble.ts";
import { forwardPort } from "./port-forward.ts";
import { creationTrouble } from "./workload-trouble.ts";

export const controllerName = "nginx-mesh-controller";
/** Port of the control API on the controller's loopback. */
const controlPort = 8083;

/** The controller's Deployment; undefined when no mesh is in this namespace. */
export async function controllerDeployment(
  client: KubeClient,
  namespace: string,
): Promise<Workload | undefined> {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${controllerName}`;
  const answer = await jsonIfThere(client, path);
  return answer === undefined ? undefined : objectOf(workloadSchema, answer, `Deployment ${controllerName}`);
}

/** Namespaces that have a mesh; undefined when this user may not look. */
export async function meshNamespaces(client: KubeClient): Promise<readonly string[] | undefined> {
  const selector = encodeURIComponent(`metadata.name=${controllerName}`);
  try {
    const answer = await client.json({ path: `/apis/apps/v1/deployments?fieldSelector=${selector}` });
    return itemsOf(workloadSchema, answer, "Deployments").map(({ metadata }) => metadata.namespace);
  } catch (error) {
    if (isDenied(error)) {
      return undefined;
    }
    throw error;
  }
}

async function notInstalled(client: KubeClient, namespace: string): Promise<CommandError> {
  const others = await meshNamespaces(client);
  const where = `namespace ${namespace} of ${client.cluster.name}`;
  if (others === undefined || others.length === 0) {
    return new CommandError(
      `no mesh is installed in ${where}; "nginx-meshctl deploy" installs one, --namespace names another place`,
    );
  }
  return new CommandError(
    `no mesh is installed in ${where}, but in ${others.join(", ")}: choose with --namespace ${others[0]}`,
  );
}

export async function podsOf(client: KubeClient, workload: Workload): Promise<readonly Pod[]> {
  const { namespace, name } = workload.metadata;
  const selector = Object.entries(workload.spec.selector.matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  return itemsOf(podSchema, await client.json({ path }), `the pods of ${name}`);
}

async function withoutPods(client: KubeClient, deployment: Workload): Promise<string> {
  return `: ${(await creationTrouble(client, deployment)) ?? "it has no pods"}`;
}

/** A ready pod of the controller. Throws CommandError: no mesh, no ready pod. */
export async function controllerPod(client: KubeClient, namespace: string): Promise<Pod> {
  const deployment = await controllerDeployment(client, namespace);
  if (deployment === undefined) {
    throw await notInstalled(client, namespace);
  }
  const pods = await podsOf(client, deployment);
  const leader = await leaderOf(client, namespace);
  const ready = pods.filter(isReady);
  const chosen = ready.find((pod) => leader?.startsWith(`${pod.metadata.name}-`)) ?? ready[0];
  if (chosen === undefined) {
    const reasons = pods.map((pod) => `\n  pod ${pod.metadata.name}: ${podTrouble(pod)}`).join("");
    const why = reasons === "" ? await withoutPods(client, deployment) : `:${reasons}`;
    throw new CommandError(
      `the controller of the mesh in namespace ${namespace} is not ready${why}\n"kubectl -n ${namespace} describe deployment ${controllerName}" may say more`,
    );
  }
  return chosen;
}

/** Which replica publishes: its pod's name and something random (src/controller/kubernetes/main.ts). Undefined when there is no lease, or it may not be read. */
async function leaderOf(client: KubeClient, namespace: string): Promise<string | undefined> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${controllerName}`;
  try {
    const lease = (await jsonIfThere(client, path)) as { spec?: { holderIdentity?: unknown } } | undefined;
    const holder = lease?.spec?.holderIdentity;
    return typeof holder === "string" ? holder : undefined;
  } catch (error) {
    if (error instanceof KubeError) {
      return undefined;
    }
    throw error;
  }
}

/** Asks the control API of a pod; each question has a connection of its own. */
export function askPod(
  client: KubeClient,
  pod: Pod,
  whom: string,
  timeout: number,
): (path: string) => Promise<unknown> {
  const { namespace, name } = pod.metadata;
  return async (path) => {
    const stream: Duplex = await forwardPort(client, { namespace, pod: name, port: controlPort });
    try {
      return await ask({
        whom,
        path,
        timeout: Math.min(client.left(), timeout),
        listener: `port ${controlPort} of pod ${namespace}/${name}`,
        send: (options, answered) =>
          request(
            {
              ...options,
              host: "localhost",
              createConnection: () => stream,
              headers: { connection: "close" },
            },
            answered,
          ),
      });
    } finally {
      stream.destroy();
    }
  };
}
