/** The cluster that the global options name. */
import type { GlobalOptions } from "./global-options.ts";
import { kubeClient, type KubeClient } from "./kube-client.ts";
import { loadCluster } from "./kubeconfig.ts";
import { withNotice } from "./progress.ts";
import type { Output } from "./program.ts";

/** A client for all questions of one command. Throws CommandError when there is no cluster to ask. */
export async function connectCluster(
  options: Pick<GlobalOptions, "kubeconfig" | "timeout">,
  output: Output,
): Promise<KubeClient> {
  const cluster = await loadCluster(options);
  const client = kubeClient(cluster, { timeout: options.timeout, clock: () => performance.now() });
  // the first question tells a cluster that cannot be reached from all other troubles
  await withNotice(output, `waiting for ${cluster.name}`, client.json({ path: "/version" }));
  return client;
}
