/** The settings of the whole mesh: the MeshConfig object, or the defaults of the public interface. */
import { readBodySize } from "../api/annotations.ts";
import { identify, namespaceOf } from "../api/objects.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import { controlPlaneNamespace } from "../wire/sidecar.ts";
import type { MeshSettings, Report } from "./mesh.ts";

export const meshConfigName = "nginx-mesh-config";

export interface SettingsOptions {
  readonly trustDomain: string;
  /** Namespace of the MeshConfig in force; default: that of local mode. */
  readonly namespace?: string;
  /** Whether there is an engine instead of a cluster; default: no. */
  readonly local?: boolean;
  /** Seconds. */
  readonly statisticsInterval: number;
}

/** The MeshConfig in force. */
function meshConfigOf(snapshot: Snapshot, namespace: string, report: Report) {
  const objects = objectsOf(snapshot, "MeshConfig");
  const isIt = (object: (typeof objects)[number]): boolean =>
    namespaceOf(object) === namespace && object.metadata.name === meshConfigName;
  for (const other of objects.filter((object) => !isIt(object))) {
    report({
      object: identify(other),
      field: "metadata",
      reason: "Unsupported",
      message: `has no effect: the mesh's settings are MeshConfig ${namespace}/${meshConfigName}`,
      severity: "warning",
    });
  }
  return objects.find(isIt);
}

export function settingsOf(snapshot: Snapshot, options: SettingsOptions, report: Report): MeshSettings {
  const spec = meshConfigOf(snapshot, options.namespace ?? controlPlaneNamespace, report)?.spec;
  const size = readBodySize(spec?.clientMaxBodySize);
  return {
    trustDomain: options.trustDomain,
    mtlsMode: spec?.mtls?.mode ?? "permissive",
    clientMaxBodySize: ("value" in size ? size.value : undefined) ?? 1024 ** 2,
    logLevel: spec?.nginxErrorLogLevel ?? "warn",
    logFormat: spec?.nginxLogFormat ?? "default",
    balancing: spec?.nginxLBMethod ?? "least_time",
    statisticsInterval: options.statisticsInterval,
  };
}
