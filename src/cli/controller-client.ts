/** What commands ask the controller of a mesh, be it local or of a cluster. */
import type { Command } from "commander";

import { ask, bySocket } from "./ask.ts";
import { askPod, controllerDeployment, controllerPod, meshNamespaces } from "./cluster-mesh.ts";
import { connectCluster } from "./connect-cluster.ts";
import { CommandError } from "./errors.ts";
import { controllerSocket, findMesh, type LocalMesh, localMeshRuns } from "./find-mesh.ts";
import { defaultNamespace, globalOptions, type GlobalOptions, isGiven } from "./global-options.ts";
import type { KubeClient } from "./kube-client.ts";
import type { Pod } from "./kube-objects.ts";
import { namesCluster } from "./kubeconfig.ts";
import type { Output } from "./program.ts";

export interface ClusterMesh {
  /** Namespace of the control plane. */
  readonly namespace: string;
  readonly client: KubeClient;
  /** The pod of the controller that is asked. */
  readonly controller: Pod;
}

export interface ControllerClient {
  readonly mesh:
    | { readonly kind: "local"; readonly local: LocalMesh }
    | { readonly kind: "cluster"; readonly cluster: ClusterMesh };
  /** The JSON at a path of the control API; throws CommandError. */
  readonly get: (path: string) => Promise<unknown>;
}

/** Where the mesh is that the global options name; whether its controller answers is not known yet. */
export type MeshPlace =
  | { readonly kind: "local"; readonly local: LocalMesh }
  | { readonly kind: "cluster"; readonly client: KubeClient; readonly namespace: string };

/** Throws CommandError when there is no local mesh, or no cluster that answers this user. */
export async function meshPlace(command: Command, output: Output): Promise<MeshPlace> {
  const options = globalOptions(command);
  if (await isLocal(command, options, output)) {
    return { kind: "local", local: await findMesh(options) };
  }
  const client = await connectCluster(options, output);
  return { kind: "cluster", client, namespace: await meshNamespaceOf(command, client) };
}

/** A client for the controller there; throws CommandError when a cluster has no mesh, or no ready controller. */
export async function controllerAt(place: MeshPlace, timeout: number): Promise<ControllerClient> {
  if (place.kind === "local") {
    const { local } = place;
    const whom = `the controller of mesh "${local.name}"`;
    const way = bySocket(controllerSocket(local));
    return {
      mesh: { kind: "local", local },
      get: (path) => ask({ ...way, path, timeout, whom }),
    };
  }
  const { client, namespace } = place;
  const controller = await controllerPod(client, namespace);
  const whom = `the controller of the mesh in namespace ${namespace} (pod ${controller.metadata.name})`;
  return {
    mesh: { kind: "cluster", cluster: { namespace, client, controller } },
    get: askPod(client, controller, whom, timeout),
  };
}

/** A client for the mesh that the global options name; throws CommandError when there is none. */
export async function controllerClient(command: Command, output: Output): Promise<ControllerClient> {
  return controllerAt(await meshPlace(command, output), globalOptions(command).timeout);
}

/** `-n`, but for `top`, where it is that of the resources; where it is not said, that of the only mesh. */
export async function meshNamespaceOf(command: Command, client: KubeClient): Promise<string> {
  if (isGiven(command, "namespace") && command.name() !== "top") {
    return globalOptions(command).namespace;
  }
  if ((await controllerDeployment(client, defaultNamespace)) !== undefined) {
    return defaultNamespace;
  }
  const [only, ...others] = (await meshNamespaces(client)) ?? [];
  return only === undefined || others.length > 0 ? defaultNamespace : only;
}

/** What names a mesh decides; without that a local mesh that runs, since somebody has just started it, else the cluster. */
async function isLocal(command: Command, options: GlobalOptions, output: Output): Promise<boolean> {
  if (options.mesh !== undefined || options.state !== undefined) {
    return true;
  }
  if (isGiven(command, "kubeconfig")) {
    return false;
  }
  const runs = await localMeshRuns();
  if (!namesCluster(options)) {
    if (!runs) {
      throw new CommandError(
        'there is no mesh to ask: no local mesh runs ("nginx-meshctl local up -f DIR" starts one), and no kubeconfig names a cluster (--kubeconfig, $KUBECONFIG or ~/.kube/config)',
      );
    }
    return true;
  }
  if (runs) {
    output.warn("asking the local mesh that runs here; --kubeconfig FILE asks the cluster instead\n");
  }
  return runs;
}
