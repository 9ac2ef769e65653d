/** An object of any kind that has pods → the changes that put these into the mesh. Pure. */
import * as z from "zod";
import { annotations, isIngressController } from "../api/annotations.ts";
import type { Problem } from "../api/problem.ts";
import type { WorkloadOwner } from "./containers.ts";
import { below, type Operation, type Path } from "./patch.ts";
import { injectPod } from "./pod.ts";
import type { PodProblem } from "./refusal.ts";
import type { InjectSettings } from "./settings.ts";

export interface ObjectOptions {
  readonly settings: InjectSettings;
  readonly ignoreIncomingPorts: readonly number[];
  readonly ignoreOutgoingPorts: readonly number[];
}

export type ObjectInjection =
  | {
      readonly outcome: "injected";
      readonly object: string;
      readonly operations: readonly Operation[];
      readonly warnings: readonly Problem[];
    }
  | { readonly outcome: "refused"; readonly object: string; readonly problems: readonly Problem[] }
  /** It stays as it is: no pods, has its sidecar, or is labelled so. */
  | {
      readonly outcome: "unchanged";
      readonly object: string;
      readonly why: string;
      readonly hasPods: boolean;
    };

const template: Path = ["spec", "template"];
/** Where each kind has its pod, and who owns that. */
const kinds: Readonly<Record<string, { readonly pod: Path; readonly owner: "name" | "job" | "metadata" }>> = {
  "v1 Pod": { pod: [], owner: "metadata" },
  "v1 ReplicationController": { pod: template, owner: "name" },
  "apps/v1 Deployment": { pod: template, owner: "name" },
  "apps/v1 DaemonSet": { pod: template, owner: "name" },
  "apps/v1 StatefulSet": { pod: template, owner: "name" },
  "apps/v1 ReplicaSet": { pod: template, owner: "name" },
  "batch/v1 Job": { pod: template, owner: "job" },
  "batch/v1 CronJob": { pod: ["spec", "jobTemplate", "spec", "template"], owner: "job" },
};
const kindNames = new Set(Object.keys(kinds).map((key) => key.split(" ")[1]!));

const head = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string().nullish(), namespace: z.string().nullish() }).nullish(),
});
const labelled = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.unknown()).nullish() }).nullish(),
});

function fieldBelow(prefix: Path, field: string): string {
  return [...prefix, ...(field === "" ? [] : [field])].join(".");
}

function problemsOf(object: string, prefix: Path, problems: readonly PodProblem[]): readonly Problem[] {
  return problems.map((problem) => ({
    ...problem,
    object,
    // the namespace is the object's, not the template's
    field: problem.field === "metadata.namespace" ? problem.field : fieldBelow(prefix, problem.field),
  }));
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (current, key) =>
      typeof current === "object" && current !== null ? (current as Record<string, unknown>)[key] : undefined,
    value,
  );
}

function refused(object: string, field: string, message: string): ObjectInjection {
  const problem: Problem = { object, field, reason: "InvalidObject", message, severity: "error" };
  return { outcome: "refused", object, problems: [problem] };
}

function ownerFor(
  how: "name" | "job" | "metadata",
  kind: string,
  name: string | null | undefined,
): WorkloadOwner | undefined {
  if (how === "metadata") {
    return undefined;
  }
  // a CronJob's Jobs, and those of generateName, have names that only their pods know
  if (how === "job") {
    return "job";
  }
  return { kind: kind.toLowerCase(), name: name ?? "" };
}

/** Why pods with these labels get no sidecar; undefined: they do. */
function unwanted(labels: Readonly<Record<string, unknown>>): string | undefined {
  if (labels[annotations.autoInject] === "disabled") {
    return `its pods are labelled ${annotations.autoInject}: disabled`;
  }
  return isIngressController(labels)
    ? `its pods are ingress controllers (${annotations.enableIngress}, ${annotations.enableEgress}), which speak mTLS themselves`
    : undefined;
}

/** Never throws. */
export function injectObject(raw: unknown, options: ObjectOptions): ObjectInjection {
  const shape = head.safeParse(raw);
  if (!shape.success) {
    return refused(
      "object",
      "",
      "has no apiVersion and kind that could be read: is this a manifest of Kubernetes?",
    );
  }
  const { apiVersion, kind, metadata } = shape.data;
  const object = `${kind} ${metadata?.namespace ? `${metadata.namespace}/` : ""}${metadata?.name ?? "(no name)"}`;
  const known = kinds[`${apiVersion} ${kind}`];
  if (known === undefined) {
    return kindNames.has(kind)
      ? refused(object, "apiVersion", `${apiVersion} ${kind} cannot be injected: use ${versionOf(kind)}`)
      : { outcome: "unchanged", object, why: "has no pods", hasPods: false };
  }
  if (known.owner === "name" && !metadata?.name) {
    return refused(object, "metadata.name", "is missing: the workload's pods are told apart by it");
  }
  const pod = at(raw, known.pod);
  const why = unwanted(labelled.safeParse(pod).data?.metadata?.labels ?? {});
  if (why !== undefined) {
    return { outcome: "unchanged", object, why, hasPods: true };
  }
  const result = injectPod(pod, {
    ...options,
    namespace: metadata?.namespace ?? undefined,
    owner: ownerFor(known.owner, kind, metadata?.name),
    admitted: false,
  });
  switch (result.outcome) {
    case "injected":
      return {
        outcome: "injected",
        object,
        operations: below(known.pod, result.operations),
        warnings: problemsOf(object, known.pod, result.warnings),
      };
    case "refused":
      return { outcome: "refused", object, problems: problemsOf(object, known.pod, result.problems) };
    case "unchanged":
      return { outcome: "unchanged", object, why: "has its sidecar already", hasPods: true };
  }
}

function versionOf(kind: string): string {
  return Object.keys(kinds)
    .find((key) => key.endsWith(` ${kind}`))!
    .split(" ")[0]!;
}
