/** What the kubelet and the tools may know of the controller: whether it lives, is ready, and which version it is. */
import type { Route } from "../../metrics/routes.ts";

export interface Readiness {
  /** What is missing; empty: nothing. */
  reasons(): readonly string[];
}

function constant(path: string, body: unknown): Route {
  return { path, answer: () => ({ status: 200, body }) };
}

/** Port 8081. A controller that waits for something lives: a restart would not bring it. */
export function healthRoutes(readiness: Readiness): readonly Route[] {
  return [
    constant("/healthz", { status: "ok" }),
    {
      path: "/readyz",
      answer() {
        const reasons = readiness.reasons();
        return reasons.length === 0
          ? { status: 200, body: { status: "ok" } }
          : { status: 503, body: { status: "not ready", reasons } };
      },
    },
  ];
}

/** Port 8082. */
export function versionRoutes(version: string): readonly Route[] {
  return [constant("/version", { version })];
}
