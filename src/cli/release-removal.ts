/** Finding and deleting all of a release. */
import { controllerDeployment } from "./cluster-mesh.ts";
import type { KubeClient } from "./kube-client.ts";
import { releaseOf, releaseRecords } from "./release.ts";
import {
  deleteIfThere,
  deleteObjects,
  type Release,
  type ReleaseObject,
  releaseObjects,
} from "./release-objects.ts";

/** Made at run time by the control plane itself, so no release has them. */
const madeAtRunTime = (namespace: string): readonly string[] => [
  `/api/v1/namespaces/${namespace}/secrets/nginx-mesh-webhook-certificate`,
  `/api/v1/namespaces/${namespace}/configmaps/spire-bundle`,
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/nginx-mesh-controller`,
];

export interface FoundRelease {
  readonly release: Release;
  readonly records: readonly string[];
  readonly objects: readonly ReleaseObject[];
}

/** What there is of the mesh of a namespace. Throws CommandError. */
export async function findRelease(client: KubeClient, namespace: string): Promise<FoundRelease> {
  const release = { name: releaseOf(await controllerDeployment(client, namespace)), namespace };
  const records = await releaseRecords(client, namespace, release.name);
  return {
    release,
    records: records.map(({ secret }) => `/api/v1/namespaces/${namespace}/secrets/${secret}`),
    objects: await releaseObjects(client, release),
  };
}

/** Deletes the objects, and the record of the release last: a removal that is interrupted can be taken up again. */
export async function removeRelease(client: KubeClient, found: FoundRelease): Promise<void> {
  await deleteObjects(client, found.objects);
  for (const path of [...madeAtRunTime(found.release.namespace), ...found.records]) {
    await deleteIfThere(client, path);
  }
}
