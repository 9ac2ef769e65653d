/** Objects of the API server as objects of a snapshot. */
import * as z from "zod";
import { annotations } from "../../api/annotations.ts";
import { parseObject } from "../../api/objects.ts";
import type { MeshObject } from "../../api/objects.ts";
import type { Entry, ObjectReference } from "./entry.ts";
import { type Fields, keep } from "./fields.ts";
import { apiVersionOf, type Resource } from "./resources.ts";

const metadataFields: Fields = { name: true, namespace: true, uid: true, labels: true };
/** Those that mean something here; others may be large, as what `kubectl apply` writes. */
export const annotationFields: Fields = Object.fromEntries(
  Object.values(annotations).map((name) => [name, true]),
);

const serviceFields: Fields = {
  metadata: { name: true, namespace: true, uid: true, annotations: annotationFields },
  spec: {
    type: true,
    clusterIP: true,
    clusterIPs: true,
    selector: true,
    ports: { name: true, port: true, targetPort: true, protocol: true, appProtocol: true },
    publishNotReadyAddresses: true,
  },
};

/** Probes are not among them: a pod's sidecar knows them from the injector. */
const workloadFields: Fields = {
  metadata: { name: true, namespace: true, uid: true },
  spec: {
    template: {
      metadata: { labels: true, annotations: annotationFields },
      spec: {
        serviceAccountName: true,
        containers: { name: true, ports: { name: true, containerPort: true, protocol: true } },
      },
    },
  },
};

/** Of a kind of the mesh all that people write, so that a field that is unknown is told. */
const ownFields: Fields = { metadata: metadataFields, spec: true };

function fieldsOf(resource: Resource): Fields {
  switch (resource.kind) {
    case "Namespace":
      return { metadata: { name: true, uid: true, labels: true } };
    case "Service":
      return serviceFields;
    case "Deployment":
    case "StatefulSet":
    case "DaemonSet":
    case "ReplicaSet":
    case "Job":
      return workloadFields;
    default:
      return ownFields;
  }
}

const head = z.object({
  apiVersion: z.string().optional(),
  metadata: z.object({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    generation: z.int().optional(),
    ownerReferences: z.array(z.object({ controller: z.boolean().optional() })).optional(),
  }),
  status: z
    .object({
      conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish(),
    })
    .optional()
    .catch(undefined),
});

export function referenceOf(resource: Resource, raw: unknown): ObjectReference {
  const { apiVersion, metadata } = head.parse(raw);
  return {
    apiVersion: apiVersion ?? apiVersionOf(resource, resource.versions[0]!),
    kind: resource.kind,
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    uid: metadata.uid ?? "",
    generation: metadata.generation ?? 0,
  };
}

/** A ReplicaSet of a Deployment says nothing that the Deployment does not; a Job that is over has no pods. */
function matters(resource: Resource, raw: unknown): boolean {
  const { metadata, status } = head.parse(raw);
  switch (resource.kind) {
    case "ReplicaSet":
      return metadata.ownerReferences?.some((owner) => owner.controller === true) !== true;
    case "Job":
      return !(status?.conditions ?? []).some(
        ({ type, status: state }) => (type === "Complete" || type === "Failed") && state === "True",
      );
    default:
      return true;
  }
}

/**
 * Undefined: the object does not matter. `raw` must have the form of an object of the API server, with a name. The
 * generation is that of kinds whose status the control plane writes.
 */
export function readObject(resource: Resource, raw: unknown): Entry<MeshObject> | undefined {
  if (!matters(resource, raw)) {
    return undefined;
  }
  const reference = referenceOf(resource, raw);
  const { apiVersion, kind } = reference;
  const kept = keep(fieldsOf(resource), raw) as object;
  const { object, problems } = parseObject({ ...kept, apiVersion, kind }, `${kind} ${reference.name}`);
  return {
    value: object,
    problems,
    reference: resource.optional ? reference : { ...reference, generation: 0 },
  };
}
