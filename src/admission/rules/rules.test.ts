import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { type MeshObject, parseObject } from "../../api/objects.ts";
import { ruleProblems } from "../validation.ts";

const apiVersions: Readonly<Record<string, string>> = {
  TrafficSplit: "split.smi-spec.io/v1alpha3",
  HTTPRouteGroup: "specs.smi-spec.io/v1alpha3",
  TCPRoute: "specs.smi-spec.io/v1alpha3",
  TrafficTarget: "access.smi-spec.io/v1alpha2",
  RateLimit: "specs.smi.nginx.com/v1alpha2",
  CircuitBreaker: "specs.smi.nginx.com/v1alpha1",
  MeshConfig: "nsm.nginx.com/v1alpha2",
  Service: "v1",
  Deployment: "apps/v1",
};

function read(kind: string, spec: string, name = "it"): MeshObject {
  const text = `{ apiVersion: ${apiVersions[kind]}, kind: ${kind}, metadata: { name: ${name} }, spec: ${spec} }`;
  const parsed = parseObject(parseAllDocuments(text)[0]!.toJS(), "test");
  assert.ok(parsed.object !== undefined, `${text}: ${JSON.stringify(parsed.problems)}`);
  return parsed.object;
}

const template = "{ selector: {}, template: { spec: { containers: [{ name: a }] } } }";
/** What is in the cluster already. */
const others = [
  read("Service", "{}", "web"),
  read("Service", "{}", "web-2"),
  read("Deployment", template, "web"),
  read("HTTPRouteGroup", "{ matches: [{ name: a, methods: [GET] }] }", "routes"),
  read("TrafficSplit", "{ service: split, backends: [{ service: web, weight: 1 }] }", "first"),
  read(
    "RateLimit",
    "{ name: a, rate: 1r/s, destination: { kind: Deployment, name: web }, sources: [{ kind: Deployment, name: a }] }",
    "first",
  ),
  read("RateLimit", "{ name: a, rate: 1r/s, destination: { kind: Service, name: web } }", "default"),
  read(
    "CircuitBreaker",
    "{ destination: { kind: Service, name: web-2 }, errors: 1, timeoutSeconds: 1 }",
    "first",
  ),
];

const limit = (rest: string) =>
  `{ name: a, rate: 1r/s, destination: { kind: Deployment, name: web }, ${rest} }`;
const breaker = (rest: string) =>
  `{ destination: { kind: Service, name: web }, errors: 1, timeoutSeconds: 1, ${rest} }`;
const config = (rest: string) => `{ meshConfigClassName: c, ${rest} }`;

/** Kind, spec, and the problems as `severity reason field`. */
const cases: readonly (readonly [string, string, ...string[]])[] = [
  [
    "TrafficSplit",
    "{ service: web, backends: [{ service: web, weight: 1 }, { service: web-2, weight: 0 }] }",
  ],
  ["TrafficSplit", "{ service: web, backends: [] }", "error InvalidValue spec.backends"],
  [
    "TrafficSplit",
    "{ service: web, backends: [{ service: web, weight: 0 }, { service: web-2, weight: 0 }] }",
    "error AllWeightsZero spec.backends",
  ],
  [
    "TrafficSplit",
    "{ service: web, backends: [{ service: web, weight: 1 }, { service: web, weight: 2 }] }",
    "error Conflict spec.backends[1].service",
  ],
  [
    "TrafficSplit",
    "{ service: split, backends: [{ service: web, weight: 1 }] }",
    "error Conflict spec.service",
    "warning NotFound spec.service",
  ],
  [
    "TrafficSplit",
    "{ service: web, backends: [{ service: no, weight: 1 }], matches: [{ kind: HTTPRouteGroup, name: routes }, { kind: HTTPRouteGroup, name: no }] }",
    "warning NotFound spec.backends[0].service",
    "warning NotFound spec.matches[1].name",
  ],
  [
    "HTTPRouteGroup",
    "{ matches: [{ name: a, pathRegex: '/a/.*', methods: [GET, '*'], headers: { X-A: 'b+' } }] }",
  ],
  ["HTTPRouteGroup", "{ matches: [] }", "warning InvalidValue spec.matches"],
  ["HTTPRouteGroup", "{ matches: [{ name: a }] }", "warning InvalidValue spec.matches[0]"],
  [
    "HTTPRouteGroup",
    "{ matches: [{ name: a, methods: [GET] }, { name: a, methods: [PUT] }] }",
    "error Conflict spec.matches[1].name",
  ],
  [
    "HTTPRouteGroup",
    "{ matches: [{ name: a, pathRegex: '(', headers: { 'X A': '[' } }] }",
    "error InvalidValue spec.matches[0].pathRegex",
    'error InvalidValue spec.matches[0].headers["X A"]',
    'error InvalidValue spec.matches[0].headers["X A"]',
  ],
  // only PCRE can tell
  ["HTTPRouteGroup", "{ matches: [{ name: a, pathRegex: '(?i)/a++(?>b)' }] }"],
  ["HTTPRouteGroup", `{ matches: [{ name: a, pathRegex: "(?x: /a )(?'n'b)(?1)" }] }`],
  [
    "HTTPRouteGroup",
    "{ matches: [{ name: a, methods: [get, 'GET,PUT'] }] }",
    "warning InvalidValue spec.matches[0].methods[0]",
    "error InvalidValue spec.matches[0].methods[1]",
  ],
  [
    "TrafficTarget",
    "{ destination: { kind: ServiceAccount, name: a, port: 80 }, sources: [{ kind: ServiceAccount, name: b }], rules: [{ kind: HTTPRouteGroup, name: routes, matches: [a] }] }",
  ],
  [
    "TrafficTarget",
    "{ destination: { kind: Pod, name: a, port: 0 }, sources: [{ kind: Service, name: b }] }",
    "error InvalidValue spec.destination.kind",
    "error InvalidValue spec.destination.port",
    "error InvalidValue spec.sources[0].kind",
  ],
  [
    "TrafficTarget",
    "{ destination: { kind: ServiceAccount, name: a }, rules: [{ kind: HTTPRouteGroup, name: routes, matches: [b] }, { kind: TCPRoute, name: no }, { kind: GRPCRoute, name: x }] }",
    "warning InvalidValue spec.sources",
    "warning NotFound spec.rules[0].matches[0]",
    "warning NotFound spec.rules[1].name",
    "error InvalidValue spec.rules[2].kind",
  ],
  ["RateLimit", limit("sources: [{ kind: Deployment, name: b }], burst: 3, delay: nodelay")],
  ["RateLimit", limit("burst: 3, delay: 2, rules: [{ kind: HTTPRouteGroup, name: routes }]")],
  [
    "RateLimit",
    limit("sources: [{ kind: Deployment, name: b }, { kind: Deployment, name: a }]"),
    "error Conflict spec.sources[1]",
  ],
  [
    "RateLimit",
    limit("sources: [{ kind: Deployment, name: b }, { kind: Deployment, name: b, namespace: default }]"),
    "error Conflict spec.sources[1]",
  ],
  [
    "RateLimit",
    "{ name: a, rate: 1r/s, destination: { kind: Service, name: web } }",
    "error Conflict spec.sources",
  ],
  // the same name in another namespace is another source
  ["RateLimit", limit("sources: [{ kind: Deployment, name: a, namespace: other }]")],
  ["RateLimit", limit("delay: 2"), "warning InvalidValue spec.delay"],
  ["RateLimit", limit("burst: 1, delay: soon"), "error InvalidValue spec.delay"],
  [
    "RateLimit",
    "{ name: a, rate: '10r/,', destination: { kind: Deployment, name: web } }",
    "error InvalidValue spec.rate",
  ],
  [
    "RateLimit",
    "{ name: a, rate: 0r/s, destination: { kind: Deployment, name: web } }",
    "error InvalidValue spec.rate",
  ],
  [
    "RateLimit",
    "{ name: a, rate: 1r/m, destination: { kind: Node, name: web }, sources: [{ kind: User, name: b }] }",
    "error InvalidValue spec.destination.kind",
    "error InvalidValue spec.sources[0].kind",
  ],
  [
    "RateLimit",
    "{ name: a, rate: 1r/m, destination: { kind: Service, name: no }, rules: [{ kind: HTTPRouteGroup, name: no }] }",
    "warning NotFound spec.destination.name",
    "warning NotFound spec.rules[0].name",
  ],
  ["CircuitBreaker", breaker("fallback: { service: default/web-2, port: 80 }")],
  ["CircuitBreaker", breaker("fallback: { service: web-2 }")],
  ["CircuitBreaker", breaker("fallback: { service: default/web }"), "error Cycle spec.fallback.service"],
  ["CircuitBreaker", breaker("fallback: { service: other/web }"), "error InvalidValue spec.fallback.service"],
  ["CircuitBreaker", breaker("fallback: { service: a/b/c }"), "error InvalidValue spec.fallback.service"],
  ["CircuitBreaker", breaker("fallback: { port: 80 }"), "error InvalidValue spec.fallback.service"],
  ["CircuitBreaker", breaker("fallback: { service: no }"), "warning NotFound spec.fallback.service"],
  [
    "CircuitBreaker",
    "{ destination: { kind: Service, name: web-2 }, errors: 0, timeoutSeconds: 1 }",
    "warning InvalidValue spec.errors",
    "error Conflict spec.destination",
  ],
  [
    "CircuitBreaker",
    "{ destination: { kind: Service, name: no }, errors: 1, timeoutSeconds: 0 }",
    "warning InvalidValue spec.timeoutSeconds",
    "warning NotFound spec.destination.name",
  ],
  [
    "MeshConfig",
    config(
      "mtls: { caTTL: 24h, svidTTL: 30m, mode: strict }, prometheusAddress: 'prometheus.monitoring:9090'",
    ),
  ],
  // the pattern of the CRD accepts it
  ["MeshConfig", config("mtls: { caTTL: 100hours }"), "error InvalidValue spec.mtls.caTTL"],
  ["MeshConfig", config("mtls: { caTTL: 24h, svidTTL: 25h }"), "error InvalidValue spec.mtls.svidTTL"],
  [
    "MeshConfig",
    config("prometheusAddress: 'http://prometheus'"),
    "error InvalidValue spec.prometheusAddress",
  ],
  [
    "MeshConfig",
    config("telemetry: { exporters: { otlp: { host: collector } } }"),
    "error InvalidValue spec.telemetry.exporters.otlp.port",
  ],
  [
    "MeshConfig",
    config("telemetry: { samplerRatio: 0.5 }"),
    "warning InvalidValue spec.telemetry.samplerRatio",
  ],
];

for (const [kind, spec, ...expected] of cases) {
  test(`${kind} ${spec}: ${expected.join(", ") || "nothing"}`, () => {
    const object = read(kind, spec);
    const found = ruleProblems(object, [...others, object]);
    assert.deepEqual(
      found.map(({ severity, reason, field }) => `${severity} ${reason} ${field}`),
      expected,
    );
    for (const problem of found) {
      assert.equal(problem.object, `${kind} default/it`);
      assert.ok(problem.message.length > 10, problem.message);
    }
  });
}

test("an object does not conflict with its older self", () => {
  for (const object of others) {
    assert.deepEqual(
      ruleProblems(object, others).filter(({ reason }) => reason === "Conflict"),
      [],
    );
  }
});
