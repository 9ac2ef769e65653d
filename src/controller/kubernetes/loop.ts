/** Cluster → model → configuration, whenever something changed. */
import type { Cluster } from "../../cluster/kubernetes/source.ts";
import type { Snapshot } from "../../cluster/snapshot.ts";
import { compile, type Configuration } from "../../compile/configuration.ts";
import { buildModel } from "../../model/build.ts";
import type { MeshModel } from "../../model/mesh.ts";
import type { SettingsOptions } from "../../model/settings.ts";

export interface ClusterLoopOptions {
  readonly cluster: () => Pick<Cluster, "snapshot">;
  readonly settings: SettingsOptions;
  /** Each one, before it becomes a configuration. */
  onSnapshot?(snapshot: Snapshot): void;
  /** Each one: its objects may be others, and its configuration and problems the same. */
  onModel?(model: MeshModel): void;
  /** A configuration or problems that differ from the last ones. */
  onConfiguration(model: MeshModel, configuration: Configuration): void;
  /** A defect, not bad input: the last good configuration stays. Empty: over. */
  onError(message: string): void;
}

/** The function to call when the cluster has changed. */
export function clusterLoop(options: ClusterLoopOptions): () => void {
  let last = "";
  return () => {
    const snapshot = options.cluster().snapshot();
    if (snapshot === undefined) {
      return;
    }
    options.onSnapshot?.(snapshot);
    try {
      const model = buildModel(snapshot, options.settings);
      const configuration = compile(model);
      const present = `${configuration.version} ${JSON.stringify(model.problems)}`;
      if (present !== last) {
        last = present;
        options.onConfiguration(model, configuration);
      }
      options.onModel?.(model);
      options.onError("");
    } catch (cause) {
      options.onError(`the configuration cannot be made: ${(cause as Error).stack ?? String(cause)}`);
    }
  };
}
