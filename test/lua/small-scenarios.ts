/** Scenarios of the parts that stand alone. Compiles to Lua too, see scenarios.ts. */
import type { BalancedEndpoint, Pool } from "../../src/sidecar/logic/methods.ts";
import type { RequestView, RouteRule } from "../../src/sidecar/logic/route.ts";
import type { Edge, EdgeOptions } from "../../src/sidecar/logic/statistics.ts";
import type { LbMethod } from "../../src/wire/messages.ts";
import type { Logic, Result } from "./scenarios.ts";

export interface BalancerStep {
  readonly op: "take" | "answered" | "refused" | "release" | "wait";
  /** Endpoint; with `take` the one that just failed, or -1. */
  readonly endpoint: number;
  /** Microseconds. */
  readonly time: number;
}

export interface BalancerScenario {
  readonly kind: "balancer";
  readonly random: readonly number[];
  readonly method: LbMethod;
  readonly count: number;
  readonly steps: readonly BalancerStep[];
}

/** Gives the numbers of the list in turn, and begins anew after the last. */
export function randomFrom(list: readonly number[]): () => number {
  let next = 0;
  return () => {
    const value = list[next % list.length]!;
    next = next + 1;
    return value;
  };
}

function createPool(method: LbMethod, count: number): Pool<BalancedEndpoint> {
  const endpoints: BalancedEndpoint[] = [];
  for (let id = 0; id < count; id++) {
    endpoints.push({
      id,
      inFlight: 0,
      average: 0,
      averagedAt: 0,
      taken: 0,
      failures: 0,
      retryAt: 0,
      probing: false,
    });
  }
  return { method, endpoints, next: 0, turn: 0, ailing: 0 };
}

export function runBalancer(logic: Logic, scenario: BalancerScenario, result: Result): void {
  const pool = createPool(scenario.method, scenario.count);
  const random = randomFrom(scenario.random);
  let now = 0;
  for (let i = 0; i < scenario.steps.length; i++) {
    const step = scenario.steps[i]!;
    if (step.op === "wait") {
      now = now + step.time;
    } else if (step.op === "take") {
      const taken = logic.balancer.take(pool, random, step.endpoint, now);
      result.values.push(taken === undefined ? -1 : taken.id);
    } else {
      const endpoint = pool.endpoints[step.endpoint]!;
      if (step.op === "answered") {
        logic.balancer.answered(pool, endpoint, step.time, now);
      } else if (step.op === "refused") {
        logic.balancer.refused(pool, endpoint, now);
      } else {
        logic.balancer.release(endpoint);
      }
      result.values.push(
        endpoint.inFlight,
        endpoint.average,
        endpoint.failures,
        endpoint.retryAt,
        pool.ailing,
      );
    }
  }
}

/** A request whose regular expressions are plain text: the engines of Node and nginx are not what is compared. */
export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function viewOf(request: PlainRequest): RequestView {
  return {
    method: () => request.method,
    path: () => request.path,
    header: (name) => request.headers[name],
    matches: (value, expression) => expression === ".*" || value === expression,
  };
}

export interface RouteScenario {
  readonly kind: "route";
  readonly random: readonly number[];
  readonly rules: readonly RouteRule<string>[];
  readonly requests: readonly PlainRequest[];
}

export function runRoute(logic: Logic, scenario: RouteScenario, result: Result): void {
  const random = randomFrom(scenario.random);
  result.values.push(logic.route.chooseBackend(scenario.rules, undefined, random) ?? "none");
  for (let i = 0; i < scenario.requests.length; i++) {
    const view = viewOf(scenario.requests[i]!);
    result.values.push(logic.route.chooseBackend(scenario.rules, view, random) ?? "none");
  }
}

export interface AddressScenario {
  readonly kind: "address";
  readonly addresses: readonly string[];
  readonly ranges: readonly string[];
}

export function runAddress(logic: Logic, scenario: AddressScenario, result: Result): void {
  for (let i = 0; i < scenario.addresses.length; i++) {
    const address = scenario.addresses[i]!;
    const bytes = logic.address.addressBytes(address);
    result.values.push(logic.wireKeys.addressKey(address), bytes.length);
    for (let j = 0; j < bytes.length; j++) {
      result.values.push(bytes[j]!);
    }
    for (let j = 0; j < scenario.ranges.length; j++) {
      result.values.push(logic.address.inRange(address, scenario.ranges[j]!) ? 1 : 0);
    }
  }
}

export interface Counted {
  readonly edge: number;
  readonly status: number;
  readonly duration: number;
  readonly bytes: number;
  readonly connect: number;
  readonly firstByte: number;
}

export interface StatisticsScenario {
  readonly kind: "statistics";
  readonly edges: readonly EdgeOptions[];
  /** By worker. */
  readonly workers: readonly (readonly Counted[])[];
  readonly limit: number;
}

function edgesOf(
  logic: Logic,
  options: readonly EdgeOptions[],
  list: readonly Counted[],
  limit: number,
): Edge[] {
  const statistics = logic.statistics.createStatistics();
  for (let i = 0; i < list.length; i++) {
    const { edge: index, status, duration, bytes, connect, firstByte } = list[i]!;
    const edge = logic.statistics.findEdge(statistics, options[index]!);
    edge.references = index % 2;
    logic.statistics.record(statistics, edge, status, duration, bytes, bytes * 2);
    logic.statistics.recordTimes(edge, connect, firstByte);
  }
  logic.statistics.prune(statistics, limit);
  return statistics.edges;
}

export function runStatistics(logic: Logic, scenario: StatisticsScenario, result: Result): void {
  const shared = [];
  for (let i = 0; i < scenario.workers.length; i++) {
    const edges = edgesOf(logic, scenario.edges, scenario.workers[i]!, scenario.limit);
    for (let j = 0; j < edges.length; j++) {
      const message = logic.publication.edgeStatistics(edges[j]!);
      result.values.push(message.direction, message.total, message.failures, message.service ?? "none");
      result.values.push(
        message.identity ?? "none",
        message.workload === undefined ? "none" : message.workload.name,
      );
      for (let k = 0; k < message.latency.length; k++) {
        result.values.push(message.latency[k]!);
      }
    }
    shared.push(logic.publication.copyForSharing(edges));
    result.texts.push(logic.exposition.exposition({ active: i, droppedRequests: 0, edges }));
  }
  result.texts.push(
    logic.exposition.exposition({
      active: 0,
      droppedRequests: 0,
      edges: logic.publication.mergeShared(shared),
    }),
  );
}
