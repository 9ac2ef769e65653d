/** The records of Helm's releases in a namespace: what an earlier deployment has left, and mending it. */
import { setTimeout as sleep } from "node:timers/promises";

import { controllerName } from "./cluster-mesh.ts";
import { CommandError } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import { itemsOf, objectSchema, type Workload } from "./kube-objects.ts";
import type { Output } from "./program.ts";

/** Name of the release that `deploy` makes. */
const releaseName = "nginx-mesh";

/** The release that the controller belongs to. Throws CommandError when something else than Helm has installed it. */
export function releaseOf(controller: Workload | undefined): string {
  if (controller === undefined) {
    return releaseName;
  }
  const release = controller.metadata.annotations["meta.helm.sh/release-name"];
  if (release === undefined) {
    throw new CommandError(
      `Deployment ${controllerName} in namespace ${controller.metadata.namespace} was not installed by Helm or this tool; delete it first, or go on with the tool that installed it`,
    );
  }
  return release;
}

export interface ReleaseRecord {
  /** Name of the Secret that holds it. */
  readonly secret: string;
  readonly revision: number;
  /** `deployed`, `failed`, `superseded`, `uninstalling`, `pending-install`, … */
  readonly status: string;
  /** When it changed last; milliseconds since 1970. */
  readonly changedAt: number;
}

/** Only metadata: the records themselves hold the values, and so secrets. */
export const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** The newest first. Throws CommandError. */
export async function releaseRecords(
  client: KubeClient,
  namespace: string,
  release: string,
): Promise<readonly ReleaseRecord[]> {
  const selector = encodeURIComponent(`owner=helm,name=${release}`);
  const path = `/api/v1/namespaces/${namespace}/secrets?labelSelector=${selector}`;
  const secrets = itemsOf(objectSchema, await client.json({ path, accept: metadataOnly }), "Helm's releases");
  return secrets
    .map(({ metadata }) => ({
      secret: metadata.name,
      revision: Number(metadata.labels.version ?? 0),
      status: metadata.labels.status ?? "unknown",
      changedAt: metadata.labels.modifiedAt
        ? Number(metadata.labels.modifiedAt) * 1000
        : Date.parse(metadata.creationTimestamp ?? ""),
    }))
    .sort((a, b) => b.revision - a.revision);
}

/** Milliseconds: helm writes a release's objects in a few seconds, so a record that is pending for longer has nobody. */
const abandonedAfter = 30_000;

function isPending(record: ReleaseRecord | undefined): record is ReleaseRecord {
  return record !== undefined && record.status.startsWith("pending-");
}

/**
 * Waits for a deployment that is under way, and forgets one that was interrupted: its record alone is removed, so that
 * what it made is taken over by the next one. The newest record that is left, if any. Throws CommandError.
 */
export async function settleRelease(
  client: KubeClient,
  namespace: string,
  release: string,
  output: Output,
): Promise<ReleaseRecord | undefined> {
  let said = false;
  for (;;) {
    const [newest, before] = await releaseRecords(client, namespace, release);
    if (!isPending(newest)) {
      return newest;
    }
    if (Date.now() - newest.changedAt > abandonedAfter) {
      output.print(`  release     an interrupted deployment is taken up again (${newest.status})\n`);
      await client.text({
        method: "DELETE",
        path: `/api/v1/namespaces/${namespace}/secrets/${newest.secret}`,
      });
      return before;
    }
    if (!said) {
      said = true;
      output.warn(
        `another deployment of this mesh is under way, or was interrupted (${newest.status}); waiting ...\n`,
      );
    }
    if (client.left() <= 1000) {
      throw new CommandError(
        `another deployment of the mesh in namespace ${namespace} is under way (release ${release}, ${newest.status}); try again when it has ended`,
      );
    }
    await sleep(1000);
  }
}
