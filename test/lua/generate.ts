/** Random inputs for the parts of the logic that stand alone. */
import { latencyBuckets, type HttpMatch, type LbMethod } from "../../src/wire/messages.ts";
import type { RouteRule } from "../../src/sidecar/logic/route.ts";
import type { EdgeOptions } from "../../src/sidecar/logic/statistics.ts";
import { chance, many, pick, whole, type Random } from "./draw.ts";
import { request } from "./generate-mesh.ts";
import type {
  AddressScenario,
  BalancerScenario,
  BalancerStep,
  Counted,
  RouteScenario,
  StatisticsScenario,
} from "./small-scenarios.ts";

function balancerStep(random: Random, count: number): BalancerStep {
  const op = pick(random, [
    "take",
    "take",
    "take",
    "answered",
    "answered",
    "refused",
    "release",
    "wait",
  ] as const);
  const first = op === "take" ? -1 : 0;
  return {
    op,
    endpoint: op === "take" && chance(random, 0.7) ? -1 : whole(random, first, count - 1),
    time: op === "wait" ? whole(random, 0, 3_000_000) : whole(random, 0, 100_000),
  };
}

export function balancerScenario(random: Random, method: LbMethod): BalancerScenario {
  const count = whole(random, 1, 7);
  return {
    kind: "balancer",
    random: many(random, 101, 101, random),
    method,
    count,
    steps: many(random, 100, 300, () => balancerStep(random, count)),
  };
}

function match(random: Random): HttpMatch {
  return {
    ...(chance(random, 0.5) ? { pathRegex: pick(random, ["/a", "/b", ".*"]) } : {}),
    ...(chance(random, 0.5) ? { methods: many(random, 0, 2, () => pick(random, ["GET", "POST", "*"])) } : {}),
    ...(chance(random, 0.5) ? { headers: { "x-user": pick(random, ["anna", "", ".*"]) } } : {}),
  };
}

function rule(random: Random, index: number): RouteRule<string> {
  const backends = [
    { pool: `${index}`, weight: 1 },
    ...many(random, 0, 3, (i) => ({ pool: `${index}.${i}`, weight: whole(random, 0, 9) })),
  ];
  const matches = chance(random, 0.3) ? undefined : many(random, 0, 2, () => match(random));
  return { matches, backends, total: backends.reduce((sum, { weight }) => sum + weight, 0) };
}

export function routeScenario(random: Random): RouteScenario {
  return {
    kind: "route",
    // also the points where one weight ends and the next begins
    random: many(random, 31, 31, () => pick(random, [0, 0.25, 0.5, random(), random()])),
    rules: many(random, 0, 4, (i) => rule(random, i)),
    requests: many(random, 1, 20, () => request(random)),
  };
}

function address(random: Random): string {
  const four = many(random, 4, 4, () => pick(random, [0, 10, 255, whole(random, 0, 255)])).join(".");
  const six = many(random, 32, 32, () => whole(random, 0, 15).toString(16)).join("");
  const odd = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.0.0.1",
    "1.2.3.-4",
    "0x1.2.3.4",
    "1e1.2.3.4",
    " 1.2.3.4",
    "1..2.3",
  ];
  return pick(random, [four, four, six, six.toUpperCase(), six.slice(1), pick(random, odd)]);
}

export function addressScenario(random: Random): AddressScenario {
  const addresses = many(random, 5, 20, () => address(random));
  const bits = (): string =>
    pick(random, [`${whole(random, 0, 130)}`, "8", "24", "", "x", "-1", "1e1", "1.5"]);
  return {
    kind: "address",
    addresses,
    ranges: many(random, 5, 20, () =>
      pick(random, [`${pick(random, addresses)}/${bits()}`, address(random), "/"]),
    ),
  };
}

function edge(random: Random, index: number): EdgeOptions {
  const direction = pick(random, ["to", "from"] as const);
  const kind = pick(random, ["deployment", "statefulset", "daemonset", "pod"]);
  return {
    direction,
    protocol: pick(random, ["http", "grpc", "tcp", "udp"] as const),
    ...(direction === "to" && chance(random, 0.8)
      ? { workload: { namespace: "shop", kind, name: "web" } }
      : {}),
    ...(direction === "to" ? { service: "shop/web", pod: pick(random, ["web-1", 'a"b\\c\nd']) } : {}),
    ...(direction === "from" ? { identity: pick(random, ["", "spiffe://example.org/ns/shop/sa/web"]) } : {}),
    mtls: chance(random, 0.5),
    upstream: `service shop/web port ${whole(random, 80, 81)}`,
    server: `10.0.0.${index % 3}:8080`,
  };
}

function counted(random: Random, edges: number): Counted {
  return {
    edge: whole(random, 0, edges - 1),
    status: pick(random, [0, 101, 200, 200, 200, 302, 404, 499, 500, 503]),
    duration: pick(random, [
      whole(random, 0, 20_000),
      whole(random, 0, 90_000_000),
      pick(random, latencyBuckets) * 1000 + whole(random, -1, 1),
    ]),
    bytes: whole(random, 0, 1_000_000_000),
    connect: whole(random, -1, 5000),
    firstByte: whole(random, -1, 5000),
  };
}

export function statisticsScenario(random: Random): StatisticsScenario {
  const edges = many(random, 1, 6, (i) => edge(random, i));
  return {
    kind: "statistics",
    edges,
    workers: many(random, 1, 3, () => many(random, 0, 60, () => counted(random, edges.length))),
    limit: whole(random, 0, 6),
  };
}
