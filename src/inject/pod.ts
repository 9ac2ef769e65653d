/** One pod, or pod template → the changes that put it into the mesh, or why it cannot be. Pure. */
import { annotations, readPorts, type Reading, systemNamespaces } from "../api/annotations.ts";
import { fieldPath } from "../api/objects.ts";
import { ownerOf } from "../api/owner.ts";
import { captureRules } from "./capture.ts";
import {
  captureAnnotations,
  containerNames,
  initContainer,
  sidecarContainer,
  volumesOf,
  type WorkloadOwner,
} from "./containers.ts";
import type { Operation, Path } from "./patch.ts";
import { podView, type PodView } from "./pod-view.ts";
import { rewriteProbes } from "./probes.ts";
import { type PodProblem, refusalsOf } from "./refusal.ts";
import type { InjectSettings } from "./settings.ts";

export interface PodContext {
  readonly settings: InjectSettings;
  /** Undefined: the manifest does not say. */
  readonly namespace: string | undefined;
  /** Whose template this is; undefined: a pod, whose metadata tells. */
  readonly owner: WorkloadOwner | undefined;
  /** Whether the API server has added what it adds to a pod: then its service account's pull secrets are there. */
  readonly admitted: boolean;
  /** Ports that the user names beside those of the pod's annotations. */
  readonly ignoreIncomingPorts: readonly number[];
  readonly ignoreOutgoingPorts: readonly number[];
}

export type Injection =
  | {
      readonly outcome: "injected";
      readonly operations: readonly Operation[];
      readonly warnings: readonly PodProblem[];
    }
  /** It has its sidecar already. */
  | { readonly outcome: "unchanged" }
  | { readonly outcome: "refused"; readonly problems: readonly PodProblem[] };

/** Marks of injected pods (interface of NSM), and what the registration with SPIRE selects. */
export const marks = {
  status: "injector.nsm.nginx.com/status",
  injected: "injected",
  owner: (kind: string) => `nsm.nginx.com/${kind}`,
  spiffe: "spiffe.io/spiffeid",
} as const;

/** Which container `kubectl logs` and `exec` mean; else the first. */
const defaultContainer = "kubectl.kubernetes.io/default-container";

/** Owners whose name becomes a label, by which metrics are told apart. */
const labelledOwners: readonly string[] = ["deployment", "statefulset", "daemonset"];
/** Longer names are no labels (Kubernetes documentation, "Labels and Selectors"). */
const longestLabel = 63;

function isInjected(pod: PodView): boolean {
  const marked =
    pod.metadata?.annotations?.[marks.status] === marks.injected ||
    pod.metadata?.labels?.[marks.status] === marks.injected;
  // NSM marked its pods alike, but had no such annotation: its sidecar is none of this mesh
  const captured = pod.metadata?.annotations?.[captureAnnotations.ipv4] !== undefined;
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return marked && captured && containers.some(({ name }) => name === containerNames.sidecar);
}

function ownLabels(owner: WorkloadOwner): Record<string, string> {
  return {
    [marks.status]: marks.injected,
    ...(typeof owner === "object" && labelledOwners.includes(owner.kind) && owner.name.length <= longestLabel
      ? { [marks.owner(owner.kind)]: owner.name }
      : {}),
    [marks.spiffe]: "true",
  };
}

function ignored(
  pod: PodView,
  key: string,
  more: readonly number[],
): { readonly ports: readonly number[]; readonly annotation: Record<string, string> } {
  // refused before, if it cannot be read
  const reading = readPorts(pod.metadata?.annotations?.[key]) as Extract<
    Reading<readonly number[]>,
    { value: unknown }
  >;
  const all = [...new Set([...(reading.value ?? []), ...more])].sort((a, b) => a - b);
  return { ports: all, annotation: more.length === 0 ? {} : { [key]: all.join(",") } };
}

/** Adds to a map that may not be there; `old` is what is there. */
function addToMap(
  path: Path,
  old: Readonly<Record<string, string>> | null | undefined,
  entries: Readonly<Record<string, string>>,
): readonly Operation[] {
  if (!old) {
    return [{ op: "add", path, value: entries }];
  }
  return Object.entries(entries)
    .filter(([key, value]) => old[key] !== value)
    .map(([key, value]) => ({
      op: Object.hasOwn(old, key) ? "replace" : "add",
      path: [...path, key],
      value,
    }));
}

/** Adds to a list that may not be there, at its end or its beginning. */
function addToList(
  path: Path,
  old: readonly unknown[] | null | undefined,
  entries: readonly object[],
  place: "first" | "last",
): readonly Operation[] {
  if (!old) {
    return entries.length === 0 ? [] : [{ op: "add", path, value: entries }];
  }
  const start = place === "first" ? 0 : old.length;
  return entries.map((value, index) => ({ op: "add", path: [...path, start + index], value }));
}

function metadataOperations(
  pod: PodView,
  labels: Readonly<Record<string, string>>,
  notes: Readonly<Record<string, string>>,
): readonly Operation[] {
  return pod.metadata
    ? [
        ...addToMap(["metadata", "labels"], pod.metadata.labels, labels),
        ...addToMap(["metadata", "annotations"], pod.metadata.annotations, notes),
      ]
    : [{ op: "add", path: ["metadata"], value: { labels, annotations: notes } }];
}

/**
 * Native: sidecar and rules come before the pod's own init containers, so that these have the mesh too; the sidecar first, as it
 * starts while the rules are applied. Classic: the
 * rules come last of the init containers, as those before have no sidecar yet, and the sidecar first of the containers.
 */
function containerOperations(pod: PodView, settings: InjectSettings, sidecar: object): readonly Operation[] {
  const rules = initContainer(settings);
  const path = ["spec", "initContainers"];
  return settings.order === "native"
    ? addToList(path, pod.spec.initContainers, [sidecar, rules], "first")
    : [
        ...addToList(path, pod.spec.initContainers, [rules], "last"),
        { op: "add", path: ["spec", "containers", 0], value: sidecar },
      ];
}

/** In the classic order the sidecar comes first, and would be what kubectl means. */
function defaultContainerNote(pod: PodView, { order }: InjectSettings): Record<string, string> {
  return order === "native" || pod.metadata?.annotations?.[defaultContainer] !== undefined
    ? {}
    : { [defaultContainer]: pod.spec.containers[0]!.name };
}

/**
 * A list in a template replaces that of the service account (Kubernetes documentation, "Configure Service Accounts for Pods"),
 * so that one is made only where that is in it already.
 */
function pullSecretOperations(pod: PodView, { settings, admitted }: PodContext): readonly Operation[] {
  const own = pod.spec.imagePullSecrets ?? [];
  const { pullSecret } = settings;
  return pullSecret === undefined ||
    own.some(({ name }) => name === pullSecret) ||
    (own.length === 0 && !admitted)
    ? []
    : addToList(["spec", "imagePullSecrets"], pod.spec.imagePullSecrets, [{ name: pullSecret }], "last");
}

function inject(pod: PodView, context: PodContext, owner: WorkloadOwner): readonly Operation[] {
  const { settings } = context;
  const incoming = ignored(pod, annotations.ignoreIncomingPorts, context.ignoreIncomingPorts);
  const outgoing = ignored(pod, annotations.ignoreOutgoingPorts, context.ignoreOutgoingPorts);
  const rules = (ipv6: boolean) =>
    captureRules({ ignoreIncomingPorts: incoming.ports, ignoreOutgoingPorts: outgoing.ports, ipv6 });
  const probes = rewriteProbes(pod, new Set(incoming.ports));
  const notes = {
    [marks.status]: marks.injected,
    ...incoming.annotation,
    ...outgoing.annotation,
    [captureAnnotations.ipv4]: rules(false),
    ...(settings.ipv6 ? { [captureAnnotations.ipv6]: rules(true) } : {}),
    ...defaultContainerNote(pod, settings),
  };
  return [
    ...metadataOperations(pod, ownLabels(owner), notes),
    // before containers move
    ...probes.operations,
    ...containerOperations(pod, settings, sidecarContainer(settings, owner, probes.allowed)),
    ...addToList(["spec", "volumes"], pod.spec.volumes, volumesOf(settings), "last"),
    ...pullSecretOperations(pod, context),
  ];
}

function warningsOf(pod: PodView): readonly PodProblem[] {
  return pod.spec.dnsPolicy === "Default"
    ? [
        {
          field: "spec.dnsPolicy",
          reason: "InvalidValue",
          message:
            '"Default" asks the node\'s name servers: unless these know the names of the cluster, the sidecar finds no NATS and the pod does not start',
          severity: "warning",
        },
      ]
    : [];
}

function refused(field: string, message: string): Injection {
  return { outcome: "refused", problems: [{ field, reason: "Unsupported", message, severity: "error" }] };
}

/** `raw` has `metadata` and `spec`; fields of problems begin there, as `spec.hostNetwork`. Never throws. */
export function injectPod(raw: unknown, context: PodContext): Injection {
  const parsed = podView.safeParse(raw);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue): PodProblem => ({
      field: fieldPath(issue.path),
      reason: "InvalidValue",
      message: issue.message.replace(/^Invalid input: /, ""),
      severity: "error",
    }));
    return { outcome: "refused", problems };
  }
  const pod = parsed.data;
  if (isInjected(pod)) {
    return { outcome: "unchanged" };
  }
  const namespace = context.namespace ?? pod.metadata?.namespace ?? undefined;
  if (namespace === context.settings.meshNamespace) {
    return refused(
      "metadata.namespace",
      `${namespace} is the mesh's own namespace, whose pods have no sidecar`,
    );
  }
  if (namespace !== undefined && systemNamespaces.includes(namespace)) {
    return refused(
      "metadata.namespace",
      `${namespace} is a namespace of Kubernetes itself, whose pods have no sidecar`,
    );
  }
  const problems = refusalsOf(pod, context.settings);
  if (problems.length > 0) {
    return { outcome: "refused", problems };
  }
  const owner = context.owner ?? ownerOf(pod.metadata ?? {}) ?? "pod";
  return { outcome: "injected", operations: inject(pod, context, owner), warnings: warningsOf(pod) };
}
