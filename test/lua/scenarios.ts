/**
 * What is run under Node and under LuaJIT to compare the two. The files scenarios.ts, small-scenarios.ts and
 * mesh-scenario.ts compile to Lua; the logic comes in as an argument, so that under LuaJIT it is what the sidecar ships.
 */
import { runMesh, type MeshScenario } from "./mesh-scenario.ts";
import {
  runAddress,
  runBalancer,
  runRoute,
  runStatistics,
  type AddressScenario,
  type BalancerScenario,
  type RouteScenario,
  type StatisticsScenario,
} from "./small-scenarios.ts";

export interface Logic {
  readonly address: typeof import("../../src/sidecar/logic/address.ts");
  readonly balancer: typeof import("../../src/sidecar/logic/balancer.ts");
  readonly exposition: typeof import("../../src/sidecar/logic/exposition.ts");
  readonly housekeeping: typeof import("../../src/sidecar/logic/housekeeping.ts");
  readonly incoming: typeof import("../../src/sidecar/logic/incoming.ts");
  readonly keys: typeof import("../../src/sidecar/logic/keys.ts");
  readonly mesh: typeof import("../../src/sidecar/logic/mesh.ts");
  readonly outgoing: typeof import("../../src/sidecar/logic/outgoing.ts");
  readonly publication: typeof import("../../src/sidecar/logic/publication.ts");
  readonly route: typeof import("../../src/sidecar/logic/route.ts");
  readonly settle: typeof import("../../src/sidecar/logic/settle.ts");
  readonly statistics: typeof import("../../src/sidecar/logic/statistics.ts");
  readonly wireKeys: typeof import("../../src/wire/keys.ts");
}

export type Scenario = BalancerScenario | RouteScenario | AddressScenario | StatisticsScenario | MeshScenario;

export interface Result {
  readonly values: (number | string)[];
  /** Pages of metrics, whose lines may come in another order. */
  readonly texts: string[];
}

export function run(logic: Logic, scenario: Scenario): Result {
  const result: Result = { values: [], texts: [] };
  switch (scenario.kind) {
    case "balancer":
      runBalancer(logic, scenario, result);
      break;
    case "route":
      runRoute(logic, scenario, result);
      break;
    case "address":
      runAddress(logic, scenario, result);
      break;
    case "statistics":
      runStatistics(logic, scenario, result);
      break;
    case "mesh":
      runMesh(logic, scenario, result);
      break;
  }
  return result;
}
