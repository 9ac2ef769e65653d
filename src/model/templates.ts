/** Pod templates: what is known of a workload before the first of its pods runs. */
import { identify, namespaceOf } from "../api/objects.ts";
import type { PodSpec } from "../api/pod.ts";
import { objectsOf, type RunningPod, type Snapshot } from "../cluster/snapshot.ts";
import type { WorkloadReference } from "../wire/messages.ts";
import type { Labelled } from "./selection.ts";

export interface Template extends WorkloadReference, Labelled {
  /** As problems name it. */
  readonly title: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Path of the annotations in the object. */
  readonly annotationsField: string;
  readonly spec: PodSpec;
}

/** A CronJob is none: its pods belong to its Jobs. */
const ownerKinds = [
  "DaemonSet",
  "Deployment",
  "Job",
  "ReplicaSet",
  "ReplicationController",
  "StatefulSet",
] as const;

export function ownerKey(workload: WorkloadReference): string {
  return `${workload.namespace}/${workload.kind}/${workload.name}`;
}

function ownersOf(snapshot: Snapshot): Template[] {
  return ownerKinds.flatMap((kind) =>
    objectsOf(snapshot, kind).map((object): Template => {
      const { metadata, spec } = object.spec.template;
      return {
        title: identify(object),
        namespace: namespaceOf(object),
        kind: kind.toLowerCase(),
        name: object.metadata.name,
        labels: metadata?.labels ?? {},
        annotations: metadata?.annotations ?? {},
        annotationsField: "spec.template.metadata.annotations",
        spec,
      };
    }),
  );
}

function podsOf(snapshot: Snapshot): Template[] {
  return objectsOf(snapshot, "Pod").map((object) => ({
    title: identify(object),
    namespace: namespaceOf(object),
    kind: "pod",
    name: object.metadata.name,
    labels: object.metadata.labels ?? {},
    annotations: object.metadata.annotations ?? {},
    annotationsField: "metadata.annotations",
    spec: object.spec,
  }));
}

/** A pod whose owner is gone or not known stands for it. */
function fromRunning(pod: RunningPod): Template {
  return {
    title: `Pod ${pod.namespace}/${pod.name}`,
    namespace: pod.namespace,
    kind: pod.owner.kind,
    name: pod.owner.name,
    labels: pod.labels,
    annotations: pod.annotations,
    annotationsField: "metadata.annotations",
    spec: {
      serviceAccountName: pod.serviceAccount,
      containers: [
        {
          name: "running",
          ports: pod.ports.map(({ name, ...port }) => (name === undefined ? port : { ...port, name })),
        },
      ],
    },
  };
}

/** One for each workload, sorted. */
export function templatesOf(snapshot: Snapshot): Template[] {
  const byOwner = new Map(
    [...ownersOf(snapshot), ...podsOf(snapshot)].map((template) => [ownerKey(template), template]),
  );
  for (const pod of snapshot.pods) {
    const template = fromRunning(pod);
    const key = ownerKey(template);
    if (!byOwner.has(key)) {
      byOwner.set(key, template);
    }
  }
  return [...byOwner.keys()].sort().map((key) => byOwner.get(key)!);
}

/** An empty name is none (Kubernetes API, core/v1). */
export function serviceAccountOf(spec: PodSpec): string {
  return [spec.serviceAccountName, spec.serviceAccount].find(Boolean) ?? "default";
}

/** The number that a target port has in the pods; undefined when no container has a port of that name. */
export function targetPortIn(template: Template, target: number | string): number | undefined {
  return typeof target === "number"
    ? target
    : template.spec.containers
        .flatMap((container) => container.ports ?? [])
        .find((port) => port.name === target)?.containerPort;
}
