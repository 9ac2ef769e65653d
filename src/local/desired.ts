/** Manifests → the pods that should run. Pure. */
import { createHash } from "node:crypto";
import { isIPv6 } from "node:net";
import { dirname } from "node:path";
import { annotations, isIngressController } from "../api/annotations.ts";
import type { LabelSelector } from "../api/fields.ts";
import { identify, namespaceOf, type ObjectOf } from "../api/objects.ts";
import type { PodSpec } from "../api/pod.ts";
import type { Problem } from "../api/problem.ts";
import type { FolderContents } from "../cluster/folder.ts";
import { serviceAccountOf } from "../model/templates.ts";
import { controlPlaneNamespace } from "../wire/sidecar.ts";
import { refusalOf } from "./refusal.ts";
import { ownerKey } from "./steps.ts";

export type RestartPolicy = "Always" | "OnFailure" | "Never";

export interface DesiredPod {
  readonly namespace: string;
  readonly name: string;
  /** Owner; lower-case kind. */
  readonly owner: { readonly kind: string; readonly name: string };
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly spec: PodSpec;
  readonly restartPolicy: RestartPolicy;
  readonly meshed: boolean;
  /** Folder of the manifest: relative paths begin here. */
  readonly folder: string;
  /** Changes when the pod has to be replaced. */
  readonly revision: string;
}

/** Pods of one owner, and how they are replaced. */
export interface DesiredGroup {
  /** As `ownerKey` gives it. */
  readonly key: string;
  /** `surge`: new ones become ready before old ones go; `replace`: an old one goes first, as its name is used again. */
  readonly update: "surge" | "replace";
  /** Each starts when those before it are ready. */
  readonly ordered: boolean;
  /** It cannot be started as it is written. */
  readonly refused: boolean;
  readonly pods: readonly DesiredPod[];
}

export interface Desired {
  readonly groups: readonly DesiredGroup[];
  readonly problems: readonly Problem[];
}

type OwnerKind =
  "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" | "Pod";
type Owner = ObjectOf<OwnerKind>;
type Labels = Readonly<Record<string, string>>;

const ownerKinds: ReadonlySet<string> = new Set<OwnerKind>([
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "ReplicaSet",
  "ReplicationController",
  "Job",
  "Pod",
]);
/** Never injected, whatever their labels say. */
const systemNamespaces = new Set(["kube-system", controlPlaneNamespace]);

/** Equal for equal values, in whatever order their fields are written. */
function hash(value: unknown): string {
  const sorted = (_key: string, part: unknown): unknown =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part;
  return createHash("sha256").update(JSON.stringify(value, sorted)).digest("hex").slice(0, 8);
}

function specOf(owner: Owner): PodSpec {
  return owner.kind === "Pod" ? owner.spec : owner.spec.template.spec;
}

function metadataOf(owner: Owner): { readonly labels: Labels; readonly annotations: Labels } {
  const metadata = owner.kind === "Pod" ? owner.metadata : owner.spec.template.metadata;
  return { labels: metadata?.labels ?? {}, annotations: metadata?.annotations ?? {} };
}

/** The pod's label wins over the namespace's. In local mode what says nothing is meshed: that is what it is for. */
function isMeshed(namespace: string, labels: Labels, namespaces: ReadonlyMap<string, string>): boolean {
  if (systemNamespaces.has(namespace) || isIngressController(labels)) {
    return false;
  }
  return (labels[annotations.autoInject] ?? namespaces.get(namespace) ?? "enabled") !== "disabled";
}

function namesOf(owner: Owner, revision: string): readonly string[] {
  const base = owner.metadata.name;
  const generated = `${base}-${revision.slice(0, 5)}`;
  switch (owner.kind) {
    case "Pod":
      return [base];
    case "StatefulSet":
      return Array.from({ length: owner.spec.replicas ?? 1 }, (_, index) => `${base}-${index}`);
    // one node: one pod
    case "DaemonSet":
    case "Job":
      return [generated];
    case "Deployment":
    case "ReplicaSet":
    case "ReplicationController":
      return Array.from({ length: owner.spec.replicas ?? 1 }, (_, index) => `${generated}-${index}`);
  }
}

/** A Job is tried again in the same pod, whether its policy is OnFailure or Never. */
function restartPolicyOf(owner: Owner, spec: PodSpec): RestartPolicy {
  return owner.kind === "Job" ? "OnFailure" : (spec.restartPolicy ?? "Always");
}

function selectorOf(owner: Owner): LabelSelector | undefined {
  switch (owner.kind) {
    case "Pod":
    case "Job":
      return undefined;
    case "ReplicationController":
      return owner.spec.selector === undefined ? undefined : { matchLabels: owner.spec.selector };
    default:
      return owner.spec.selector;
  }
}

/** No clock starts anything here. */
function cronJobProblems(contents: FolderContents): Problem[] {
  return contents.objects
    .filter((object) => object.kind === "CronJob")
    .map((object) => ({
      object: identify(object),
      field: "spec.schedule",
      reason: "Unsupported",
      message: "CronJobs do not run in local mode: write a Job, which runs once",
      severity: "warning",
    }));
}

/** Pods have IPv4 only, and so has the node. */
function addressProblems(contents: FolderContents): Problem[] {
  return contents.objects
    .filter((object) => object.kind === "Service" && isIPv6(object.spec.clusterIP ?? ""))
    .map((object) => ({
      object: identify(object),
      field: "spec.clusterIP",
      reason: "Unsupported",
      message: "local mode is IPv4 only: the Service has an address of the mesh's range instead",
      severity: "error",
    }));
}

function groupOf(owner: Owner, meshed: boolean, folder: string, problems: Problem[]): DesiredGroup {
  const spec = specOf(owner);
  const metadata = metadataOf(owner);
  const namespace = namespaceOf(owner);
  const refusal = refusalOf({ spec, ...metadata, meshed, selector: selectorOf(owner) });
  if (refusal !== undefined) {
    const message = `${refusal.message}; its pods are not started`;
    problems.push({ object: identify(owner), ...refusal, message, reason: "Unsupported", severity: "error" });
  }
  const revision = hash([spec, metadata, meshed, folder]);
  const names = refusal === undefined ? namesOf(owner, revision) : [];
  const shared = {
    namespace,
    owner: { kind: owner.kind.toLowerCase(), name: owner.metadata.name },
    ...metadata,
    serviceAccount: serviceAccountOf(spec),
    spec,
    restartPolicy: restartPolicyOf(owner, spec),
    meshed,
    folder,
    revision,
  };
  return {
    key: ownerKey(shared),
    update: owner.kind === "StatefulSet" || owner.kind === "Pod" ? "replace" : "surge",
    ordered: owner.kind === "StatefulSet" && owner.spec.podManagementPolicy !== "Parallel",
    refused: refusal !== undefined,
    pods: names.map((name) => ({ ...shared, name })),
  };
}

/** What each namespace's label says about injection. */
function injectionLabels(contents: FolderContents): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  for (const object of contents.objects) {
    const label = object.kind === "Namespace" ? object.metadata.labels?.[annotations.autoInject] : undefined;
    if (label !== undefined) {
      labels.set(object.metadata.name, label);
    }
  }
  return labels;
}

export function desiredPods(contents: FolderContents): Desired {
  const problems = [...cronJobProblems(contents), ...addressProblems(contents)];
  const namespaces = injectionLabels(contents);
  const owners = contents.objects.filter((object): object is Owner => ownerKinds.has(object.kind));
  const groups = owners.map((owner) => {
    const meshed = isMeshed(namespaceOf(owner), metadataOf(owner).labels, namespaces);
    const folder = dirname(contents.sources.get(identify(owner)) ?? ".");
    return groupOf(owner, meshed, folder, problems);
  });
  return { groups, problems };
}
