/** Everything that can be said against an object of the mesh: the same for the webhook and `nginx-meshctl validate`. */
import { identify, type MeshObject, parseObject } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { circuitBreakerRules } from "./rules/circuit-breaker.ts";
import { httpRouteGroupRules } from "./rules/http-route-group.ts";
import { meshConfigRules } from "./rules/mesh-config.ts";
import { rateLimitRules } from "./rules/rate-limit.ts";
import { trafficSplitRules } from "./rules/traffic-split.ts";
import { trafficTargetRules } from "./rules/traffic-target.ts";

/** What rules say of an object that fits its schema; `objects` may include the object itself, or an older form of it. */
export function ruleProblems(object: MeshObject, objects: readonly MeshObject[]): readonly Problem[] {
  const name = identify(object);
  const others = objects.filter((other) => identify(other) !== name);
  switch (object.kind) {
    case "TrafficSplit":
      return trafficSplitRules(object, others);
    case "HTTPRouteGroup":
      return httpRouteGroupRules(object, others);
    case "TrafficTarget":
      return trafficTargetRules(object, others);
    case "RateLimit":
      return rateLimitRules(object, others);
    case "CircuitBreaker":
      return circuitBreakerRules(object, others);
    case "MeshConfig":
      return meshConfigRules(object, others);
    default:
      return [];
  }
}

/** Schema, then rules. */
export function objectProblems(raw: unknown, objects: readonly MeshObject[]): readonly Problem[] {
  const { object, problems } = parseObject(raw, "object");
  return object === undefined ? problems : ruleProblems(object, objects);
}
