/** The objects of a release as the cluster has them, whether Helm knows of them or not: a half-installed mesh is removed the same way. */
import * as z from "zod";

import { CommandError } from "./errors.ts";
import { type KubeClient, KubeError } from "./kube-client.ts";
import { type AnyObject, itemsOf, objectOf, objectSchema } from "./kube-objects.ts";
import { metadataOnly } from "./release.ts";

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
  /** Empty for what is in none. */
  readonly namespace: string;
  readonly name: string;
}

/**
 * Groups of the API that the chart has objects in; "" is that of pods. Those of others are not asked, so that a
 * broken kind of somebody else stands in no way.
 */
export const chartGroups: readonly string[] = [
  "",
  "admissionregistration.k8s.io",
  "apiregistration.k8s.io",
  "apps",
  "networking.k8s.io",
  "nsm.nginx.com",
  "policy",
  "rbac.authorization.k8s.io",
  "scheduling.k8s.io",
  "security.openshift.io",
  "spire.spiffe.io",
  "storage.k8s.io",
];

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

/** Of one object; without a name, of all of its kind; without a namespace, in all of them. */
export function pathOf(resource: Resource, namespace = "", name = ""): string {
  const root = resource.version.includes("/") ? `/apis/${resource.version}` : `/api/${resource.version}`;
  const scope = resource.namespaced && namespace !== "" ? `/namespaces/${namespace}` : "";
  return `${root}${scope}/${resource.name}${name === "" ? "" : `/${name}`}`;
}

async function resourcesOf(client: KubeClient, version: string): Promise<readonly Resource[]> {
  const path = version.includes("/") ? `/apis/${version}` : `/api/${version}`;
  const { resources } = objectOf(resourceList, await client.json({ path }), version);
  return (
    resources
      .filter(({ name, verbs }) => !name.includes("/") && verbs.includes("list") && verbs.includes("delete"))
      // events come and go by themselves
      .filter(({ name }) => name !== "events")
      .map(({ name, kind, namespaced }) => ({ version, name, kind, namespaced }))
  );
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

/** In all namespaces: roles for other programs' objects are where these are, in kube-system or with cert-manager. */
async function objectsOf(
  client: KubeClient,
  resource: Resource,
  release: Release,
): Promise<readonly ReleaseObject[]> {
  const selector = encodeURIComponent("app.kubernetes.io/managed-by=Helm");
  const path = `${pathOf(resource)}?labelSelector=${selector}`;
  const accept = `${metadataOnly},application/json;q=0.9`;
  const items = itemsOf(objectSchema, await client.json({ path, accept }), resource.name);
  return items
    .filter((item) => belongsTo(item, release))
    .map(({ metadata }) => ({ resource, namespace: metadata.namespace, name: metadata.name }));
}

/** A kind that went away meanwhile, or that cannot be listed at all, has no objects. All other answers say nothing about them. */
function isNone(error: unknown): boolean {
  return error instanceof KubeError && (error.code === 404 || error.code === 405);
}

/** All that could be asked. Throws CommandError that names every question without an answer. */
async function askedEach<T, R>(
  items: readonly T[],
  ask: (item: T) => Promise<readonly R[]>,
): Promise<readonly R[]> {
  const failures: string[] = [];
  const answers = await Promise.all(
    items.map(async (item) => {
      try {
        return await ask(item);
      } catch (error) {
        if (!(error instanceof CommandError)) {
          throw error;
        }
        if (!isNone(error)) {
          failures.push(`  ${error.message}`);
        }
        return [];
      }
    }),
  );
  if (failures.length > 0) {
    const each = [...new Set(failures)].sort().join("\n");
    throw new CommandError(`not all objects of the mesh can be found, so none is deleted:\n${each}`);
  }
  return answers.flat();
}

/** In the order in which they should go. Throws CommandError, also when a single kind cannot be listed. */
export async function releaseObjects(
  client: KubeClient,
  release: Release,
): Promise<readonly ReleaseObject[]> {
  const { groups } = objectOf(groupList, await client.json({ path: "/apis" }), "the groups of the API");
  const ours = groups.filter(({ name }) => chartGroups.includes(name));
  const versions = ["v1", ...ours.map(({ preferredVersion }) => preferredVersion.groupVersion)];
  const resources = await askedEach(versions, (version) => resourcesOf(client, version));
  const found = await askedEach(resources, (resource) => objectsOf(client, resource, release));
  return found.toSorted((a, b) => rank(a) - rank(b));
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
export async function deleteObjects(client: KubeClient, objects: readonly ReleaseObject[]): Promise<void> {
  const failures: string[] = [];
  for (const { resource, namespace, name } of objects) {
    try {
      await deleteIfThere(client, pathOf(resource, namespace, name));
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
