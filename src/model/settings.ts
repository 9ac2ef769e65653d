/** The settings of the whole mesh: the MeshConfig object, or the defaults of the public interface. */
import { readBodySize } from "../api/annotations.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { MeshSettings } from "./mesh.ts";

export const meshConfigName = "nginx-mesh-config";

export interface SettingsOptions {
  readonly trustDomain: string;
  /** Seconds. */
  readonly statisticsInterval: number;
}

export function settingsOf(snapshot: Snapshot, options: SettingsOptions): MeshSettings {
  const spec = objectsOf(snapshot, "MeshConfig").find(
    (object) => object.metadata.name === meshConfigName,
  )?.spec;
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
