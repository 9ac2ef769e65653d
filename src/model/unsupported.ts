/** What is read and has no effect yet: whoever relies on it must hear of it. */
import { identify } from "../api/objects.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { Report } from "./mesh.ts";

const kinds = [
  ["TrafficTarget", "access is not controlled"],
  ["RateLimit", "requests are not limited"],
  ["CircuitBreaker", "there is no circuit breaker"],
] as const;

export function reportUnsupported(snapshot: Snapshot, report: Report): void {
  for (const [kind, effect] of kinds) {
    for (const object of objectsOf(snapshot, kind)) {
      report({
        object: identify(object),
        field: "",
        reason: "Unsupported",
        message: `a ${kind} has no effect in this version: ${effect}`,
        severity: "warning",
      });
    }
  }
  for (const object of objectsOf(snapshot, "MeshConfig")) {
    if (object.spec.accessControlMode === "deny") {
      report({
        object: identify(object),
        field: "spec.accessControlMode",
        reason: "Unsupported",
        message: '"deny" has no effect in this version: access is not controlled',
        severity: "warning",
      });
    }
  }
}
