/** What is read and has no effect yet: whoever relies on it must hear of it. */
import { identify, type MeshObject } from "../api/objects.ts";
import type { MeshConfig } from "../api/policies.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { Report } from "./mesh.ts";
import type { SettingsOptions } from "./settings.ts";

const kinds = [
  ["TrafficTarget", "access is not controlled"],
  ["RateLimit", "requests are not limited"],
  ["CircuitBreaker", "there is no circuit breaker"],
] as const;

/** Of local mode's authority the engine's own flags decide, before there is a MeshConfig. */
const flags = { svidTTL: "--svid-ttl", caTTL: "--ca-ttl", caKeyType: "--ca-key-type" } as const;

/** Fields of a MeshConfig without effect, and why. */
function unusedFields({ spec }: MeshConfig, local: boolean): readonly (readonly [string, string])[] {
  const unused: [string, string][] = [];
  if (spec.accessControlMode === "deny") {
    unused.push(["spec.accessControlMode", '"deny" has no effect in this version: access is not controlled']);
  }
  if ((spec.prometheusAddress ?? "") !== "") {
    unused.push([
      "spec.prometheusAddress",
      "has no effect in this version: nothing is asked of a Prometheus",
    ]);
  }
  if (spec.telemetry !== undefined) {
    unused.push(["spec.telemetry", "has no effect in this version: requests are not traced"]);
  }
  for (const [field, flag] of Object.entries(flags)) {
    if (local && spec.mtls?.[field as keyof typeof flags] !== undefined) {
      unused.push([`spec.mtls.${field}`, `has no effect in local mode: say "local up ${flag}"`]);
    }
  }
  return unused;
}

export function reportUnsupported(snapshot: Snapshot, options: SettingsOptions, report: Report): void {
  const warn = (object: MeshObject, field: string, message: string): void =>
    report({ object: identify(object), field, reason: "Unsupported", message, severity: "warning" });
  for (const [kind, effect] of kinds) {
    for (const object of objectsOf(snapshot, kind)) {
      warn(object, "", `a ${kind} has no effect in this version: ${effect}`);
    }
  }
  for (const object of objectsOf(snapshot, "MeshConfig")) {
    unusedFields(object, options.local === true).forEach(([field, message]) => warn(object, field, message));
  }
}
