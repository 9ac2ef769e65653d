/** Pods that ask for a sidecar and have none: made while the webhook was away, or before the label. */
import { annotations, isInjectionAsked, readMtlsMode, systemNamespaces } from "../api/annotations.ts";
import { objectsOf, type RunningPod, type Snapshot } from "../cluster/snapshot.ts";
import { controlPlaneNamespace } from "../wire/sidecar.ts";
import type { MeshSettings, Report } from "./mesh.ts";
import type { SettingsOptions } from "./settings.ts";

function modeOf(pod: RunningPod, settings: MeshSettings): string {
  const reading = readMtlsMode(pod.annotations[annotations.mtlsMode]);
  return ("value" in reading ? reading.value : undefined) ?? settings.mtlsMode;
}

/** Such a pod works, outside of the mesh; in mode strict that is an error. */
export function reportMissingSidecars(
  snapshot: Snapshot,
  settings: MeshSettings,
  options: SettingsOptions,
  report: Report,
): void {
  const namespaces = new Map(
    objectsOf(snapshot, "Namespace").map(({ metadata }) => [metadata.name, metadata.labels ?? {}]),
  );
  const outside = new Set([...systemNamespaces, options.namespace ?? controlPlaneNamespace]);
  const missing = snapshot.pods.filter(
    (pod) =>
      !pod.meshed &&
      !pod.terminating &&
      !outside.has(pod.namespace) &&
      isInjectionAsked(pod.labels, namespaces.get(pod.namespace) ?? {}),
  );
  for (const pod of missing) {
    const strict = modeOf(pod, settings) === "strict";
    const again =
      pod.owner.kind === "pod"
        ? "make it anew"
        : `"kubectl rollout restart ${pod.owner.kind}/${pod.owner.name} -n ${pod.namespace}" makes its pods anew`;
    report({
      object: `Pod ${pod.namespace}/${pod.name}`,
      field: `metadata.labels["${annotations.autoInject}"]`,
      reason: "NoSidecar",
      message: `it or its namespace asks for a sidecar, and it has none${strict ? ", so it takes plain text in spite of mode strict" : ""}: ${again}`,
      severity: strict ? "error" : "warning",
    });
  }
}
