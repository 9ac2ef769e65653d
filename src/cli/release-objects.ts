/** The objects of a release as the cluster has them, whether Helm knows of them or not: a half-installed mesh is removed the same way. */
import * as z from "zod";

import { CommandError } from "./errors.ts";
import { type KubeClient, KubeError } from "./kube-client.ts";
import { type AnyObject, itemsOf, objectOf, objectSchema } from "./kube-objects.ts";

export interface Release {
  readonly name: string;
  readonly namespace: string;
}

/** A kind of the API server whose objects can be listed and deleted. */
export interface Resource {
  /** `apps/v1`, `v1`. */
  readonly version: string;
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ReleaseObject {
  readonly resource: Resource;
  readonly name: string;
}

const resourceList = z.object({
  resources: z.array(
    z.object({ name: z.string(), kind: z.string(), namespaced: z.boolean(), verbs: z.array(z.string()) }),
  ),
});
const groupList = z.object({
  groups: z.array(z.object({ name: z.string(), preferredVersion: z.object({ groupVersion: z.string() }) })),
});

/** What comes first goes first: what stands in the way of requests, then what makes pods anew, then all else. */
const order = [
  "MutatingWebhookConfiguration",
  "ValidatingWebhookConfiguration",
  "APIService",
  "Deployment",
  "DaemonSet",
  "StatefulSet",
];

function rank({ resource }: ReleaseObject): number {
  const place = order.indexOf(resource.kind);
  return place === -1 ? order.length : place;
}

export function pathOf(resource: Resource, namespace: string, name = ""): string {
  const root = resource.version.includes("/") ? `/apis/${resource.version}` : `/api/${resource.version}`;
  const scope = resource.namespaced ? `/namespaces/${namespace}` : "";
  return `${root}${scope}/${resource.name}${name === "" ? "" : `/${name}`}`;
}

/** Events come and go by themselves; what only shows other objects has nothing of its own. */
function isOwn(resource: Resource): boolean {
  return resource.name !== "events" && !resource.version.startsWith("metrics.");
}

async function resourcesOf(client: KubeClient, version: string): Promise<readonly Resource[]> {
  const path = version.includes("/") ? `/apis/${version}` : `/api/${version}`;
  try {
    const { resources } = objectOf(resourceList, await client.json({ path }), version);
    return resources
      .filter(({ name, verbs }) => !name.includes("/") && verbs.includes("list") && verbs.includes("delete"))
      .map(({ name, kind, namespaced }) => ({ version, name, kind, namespaced }));
  } catch (error) {
    // an extension of the API whose server is away, as the mesh's own may be, has no objects to delete
    if (error instanceof KubeError) {
      return [];
    }
    throw error;
  }
}

/** Whether an object is of a release, and may be deleted with it. Pure. */
export function belongsTo({ metadata }: AnyObject, release: Release): boolean {
  const { annotations } = metadata;
  return (
    annotations["meta.helm.sh/release-name"] === release.name &&
    annotations["meta.helm.sh/release-namespace"] === release.namespace &&
    annotations["helm.sh/resource-policy"] !== "keep"
  );
}

async function objectsOf(
  client: KubeClient,
  resource: Resource,
  release: Release,
): Promise<readonly ReleaseObject[]> {
  const selector = encodeURIComponent("app.kubernetes.io/managed-by=Helm");
  const path = `${pathOf(resource, release.namespace)}?labelSelector=${selector}`;
  const accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;q=0.9";
  try {
    const items = itemsOf(objectSchema, await client.json({ path, accept }), resource.name);
    return items
      .filter((item) => belongsTo(item, release))
      .map(({ metadata }) => ({ resource, name: metadata.name }));
  } catch (error) {
    if (error instanceof KubeError && error.code !== 401) {
      return [];
    }
    throw error;
  }
}

/** In the order in which they should go. Throws CommandError. */
export async function releaseObjects(
  client: KubeClient,
  release: Release,
): Promise<readonly ReleaseObject[]> {
  const { groups } = objectOf(groupList, await client.json({ path: "/apis" }), "the groups of the API");
  const versions = ["v1", ...groups.map(({ preferredVersion }) => preferredVersion.groupVersion)];
  const resources = (await Promise.all(versions.map((version) => resourcesOf(client, version))))
    .flat()
    .filter(isOwn);
  const found = await Promise.all(resources.map((resource) => objectsOf(client, resource, release)));
  return found.flat().sort((a, b) => rank(a) - rank(b));
}

/** Whether it was there. Throws CommandError when it is refused. */
export async function deleteIfThere(client: KubeClient, path: string): Promise<boolean> {
  try {
    await client.text({
      method: "DELETE",
      path,
      body: { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background" },
    });
    return true;
  } catch (error) {
    if (error instanceof KubeError && error.code === 404) {
      return false;
    }
    throw error;
  }
}

/** Deletes all of them, also when some are refused. Throws CommandError that names what is left. */
export async function deleteObjects(
  client: KubeClient,
  release: Release,
  objects: readonly ReleaseObject[],
): Promise<void> {
  const failures: string[] = [];
  for (const { resource, name } of objects) {
    try {
      await deleteIfThere(client, pathOf(resource, release.namespace, name));
    } catch (error) {
      if (!(error instanceof KubeError)) {
        throw error;
      }
      failures.push(`  ${resource.kind} ${name}: ${error.message}`);
    }
  }
  if (failures.length > 0) {
    throw new CommandError(`not everything could be deleted:\n${failures.join("\n")}`);
  }
}
