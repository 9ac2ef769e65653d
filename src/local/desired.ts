/** Manifests → the pods that should run. Pure. */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { annotations } from "../api/annotations.ts";
import { identify, namespaceOf, type ObjectOf } from "../api/objects.ts";
import type { PodSpec } from "../api/pod.ts";
import type { Problem } from "../api/problem.ts";
import type { FolderContents } from "../cluster/folder.ts";
import { sidecarUser } from "../wire/sidecar.ts";

export interface DesiredPod {
  readonly namespace: string;
  readonly name: string;
  /** Owner; lower-case kind. */
  readonly owner: { readonly kind: string; readonly name: string };
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly spec: PodSpec;
  readonly meshed: boolean;
  /** Folder of the manifest: relative paths begin here. */
  readonly folder: string;
  /** Changes when the pod has to be replaced. */
  readonly revision: string;
}

/** Pods of one owner, and how they are replaced. */
export interface DesiredGroup {
  readonly key: string;
  readonly replicas: number;
  /** `surge`: new ones become ready before old ones go; `replace`: an old one goes first, as its name is used again. */
  readonly update: "surge" | "replace";
  readonly pods: readonly DesiredPod[];
}

export interface Desired {
  readonly groups: readonly DesiredGroup[];
  readonly problems: readonly Problem[];
}

type Owner = ObjectOf<"Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "Pod">;

const ownerKinds = new Set(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod"]);
/** Never injected, whatever their labels say. */
const systemNamespaces = new Set(["kube-system", "nginx-mesh"]);

function hash(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 8);
}

function specOf(owner: Owner): PodSpec {
  return owner.kind === "Pod" ? owner.spec : owner.spec.template.spec;
}

function metadataOf(owner: Owner): { labels: Record<string, string>; annotations: Record<string, string> } {
  const metadata = owner.kind === "Pod" ? owner.metadata : owner.spec.template.metadata;
  return { labels: metadata?.labels ?? {}, annotations: metadata?.annotations ?? {} };
}

/** The pod's label wins over the namespace's. In local mode what says nothing is meshed: that is what it is for. */
function isMeshed(
  namespace: string,
  labels: Record<string, string>,
  namespaces: ReadonlyMap<string, string>,
): boolean {
  if (systemNamespaces.has(namespace)) {
    return false;
  }
  return (labels[annotations.autoInject] ?? namespaces.get(namespace) ?? "enabled") !== "disabled";
}

function refusal(owner: Owner, spec: PodSpec, meshed: boolean): Problem | undefined {
  const problem = (field: string, message: string): Problem => ({
    object: identify(owner),
    field,
    reason: "Unsupported",
    message,
    severity: "error",
  });
  if (spec.hostNetwork === true) {
    return problem("spec.hostNetwork", "a pod of local mode has its own network; the pod is not started");
  }
  const users = [spec.securityContext, ...spec.containers.map((container) => container.securityContext)];
  if (meshed && users.some((context) => context?.runAsUser === sidecarUser)) {
    return problem(
      "spec.securityContext.runAsUser",
      `user ${sidecarUser} is the sidecar's: what it sends is not captured; the pod is not started: choose another`,
    );
  }
  const seen = new Set<string>();
  for (const port of spec.containers.flatMap((container) => container.ports ?? [])) {
    const name = `${port.containerPort}/${port.protocol ?? "TCP"}`;
    if (meshed && port.protocol === "SCTP") {
      return problem(
        "spec.containers",
        `SCTP port ${port.containerPort} cannot be meshed; the pod is not started`,
      );
    }
    if (meshed && seen.has(name)) {
      return problem(
        "spec.containers",
        `two containers have port ${name}; the pod is not started: give one another`,
      );
    }
    seen.add(name);
  }
  const withoutCommand = spec.containers.find((container) => (container.command ?? []).length === 0);
  if (withoutCommand !== undefined) {
    return problem(
      `spec.containers["${withoutCommand.name}"].command`,
      "local mode runs no images: a container needs a command; the pod is not started",
    );
  }
  return undefined;
}

function names(owner: Owner, revision: string): { replicas: number; name: (index: number) => string } {
  const base = owner.metadata.name;
  switch (owner.kind) {
    case "Pod":
      return { replicas: 1, name: () => base };
    case "StatefulSet":
      return { replicas: owner.spec.replicas ?? 1, name: (index) => `${base}-${index}` };
    case "DaemonSet":
    case "Job":
      return { replicas: 1, name: () => `${base}-${revision.slice(0, 5)}` };
    case "Deployment":
    case "ReplicaSet":
      return {
        replicas: owner.spec.replicas ?? 1,
        name: (index) => `${base}-${revision.slice(0, 5)}-${index}`,
      };
  }
}

function groupOf(
  owner: Owner,
  namespaces: ReadonlyMap<string, string>,
  folder: string,
  problems: Problem[],
): DesiredGroup {
  const spec = specOf(owner);
  const metadata = metadataOf(owner);
  const namespace = namespaceOf(owner);
  const meshed = isMeshed(namespace, metadata.labels, namespaces);
  const revision = hash([spec, metadata, meshed, folder]);
  const { replicas, name } = names(owner, revision);
  const problem = refusal(owner, spec, meshed);
  if (problem !== undefined) {
    problems.push(problem);
  }
  const count = problem === undefined ? replicas : 0;
  return {
    key: identify(owner),
    replicas: count,
    update: owner.kind === "StatefulSet" || owner.kind === "Pod" ? "replace" : "surge",
    pods: Array.from({ length: count }, (_, index) => ({
      namespace,
      name: name(index),
      owner: { kind: owner.kind.toLowerCase(), name: owner.metadata.name },
      ...metadata,
      serviceAccount: spec.serviceAccountName ?? spec.serviceAccount ?? "default",
      spec,
      meshed,
      folder,
      revision,
    })),
  };
}

export function desiredPods(contents: FolderContents): Desired {
  const problems: Problem[] = [];
  const namespaces = new Map<string, string>();
  for (const object of contents.objects) {
    const label = object.kind === "Namespace" ? object.metadata.labels?.[annotations.autoInject] : undefined;
    if (label !== undefined) {
      namespaces.set(object.metadata.name, label);
    }
  }
  const groups = contents.objects
    .filter((object): object is Owner => ownerKinds.has(object.kind))
    .map((owner) =>
      groupOf(owner, namespaces, dirname(contents.sources.get(identify(owner)) ?? "."), problems),
    );
  return { groups, problems };
}
