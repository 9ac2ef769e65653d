/** TrafficSplits as routes of their root services. */
import { identify, namespaceOf } from "../api/objects.ts";
import type { HttpRouteGroup, TrafficSplit } from "../api/policies.ts";
import type { Problem, ProblemReason } from "../api/problem.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { HttpMatch } from "../wire/messages.ts";
import type { Backend, Report, Route, Service, ServicePort } from "./mesh.ts";
import { routeGroups } from "./route-groups.ts";

type Services = ReadonlyMap<string, Service>;
type Groups = ReadonlyMap<string, HttpRouteGroup>;
/** What was looked for, or why it cannot be had. */
type Found<T> = { readonly value: T } | { readonly problem: Problem };

function refuse(
  split: TrafficSplit,
  field: string,
  reason: ProblemReason,
  why: string,
): { readonly problem: Problem } {
  const message = `${why}; the split is not used`;
  return { problem: { object: identify(split), field, reason, message, severity: "error" } };
}

/** What is wrong with one port of the root, while the split is used for others. */
function refusePort(port: ServicePort, problem: Problem): Problem {
  const message = problem.message.replace(/; the split is not used$/, `; port ${port.declared} is not split`);
  return { ...problem, message, severity: "warning" };
}

function inNamespaceOf(split: TrafficSplit, name: string): string {
  return `${namespaceOf(split)}/${name}`;
}

function checkWeights(split: TrafficSplit): Problem | undefined {
  const weights = split.spec.backends.map((backend) => backend.weight);
  if (weights.length === 0) {
    return refuse(split, "spec.backends", "InvalidValue", "there is no backend").problem;
  }
  return weights.every((weight) => weight === 0)
    ? refuse(split, "spec.backends", "AllWeightsZero", "all weights are 0: give one backend a weight").problem
    : undefined;
}

function matchOf(match: NonNullable<HttpRouteGroup["spec"]["matches"]>[number]): HttpMatch {
  const headers = Object.entries(match.headers ?? {})
    .map(([name, value]): [string, string] => [name.toLowerCase(), value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...(match.pathRegex === undefined ? {} : { pathRegex: match.pathRegex }),
    ...(match.methods === undefined ? {} : { methods: match.methods }),
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
  };
}

/** All matches of all groups; one of them must hold. */
function matchesOf(split: TrafficSplit, groups: Groups): Found<readonly HttpMatch[]> {
  const references = split.spec.matches ?? [];
  const missing = references.findIndex(({ name }) => !groups.has(inNamespaceOf(split, name)));
  if (missing >= 0) {
    const why = `there is no HTTPRouteGroup ${inNamespaceOf(split, references[missing]!.name)}`;
    return refuse(split, `spec.matches[${missing}].name`, "NotFound", why);
  }
  const matches = references.flatMap(({ name }) =>
    (groups.get(inNamespaceOf(split, name))?.spec.matches ?? []).map(matchOf),
  );
  return references.length > 0 && matches.length === 0
    ? refuse(split, "spec.matches", "InvalidValue", "its HTTPRouteGroups have no matches that can be used")
    : { value: matches };
}

/**
 * Of a backend the port with the number that the root declares, else the one with its name; where each has one port
 * only, these. A named port of a headless Service may be several: the one with most endpoints.
 */
function backendPort(root: Service, port: ServicePort, service: Service): ServicePort | undefined {
  const usable = service.ports.filter((candidate) => candidate.protocol !== "udp");
  const alone = new Set(root.ports.map((each) => each.declared)).size === 1;
  const only = alone && new Set(usable.map((each) => each.declared)).size === 1 ? usable : [];
  const byNumber = usable.filter((candidate) => candidate.declared === port.declared);
  const byName = port.name === "" ? [] : usable.filter((candidate) => candidate.name === port.name);
  const [found] = [byNumber, byName, only].filter((candidates) => candidates.length > 0);
  return found?.toSorted((a, b) => b.endpoints.length - a.endpoints.length)[0];
}

function backendsOf(
  split: TrafficSplit,
  root: Service,
  port: ServicePort,
  services: Services,
): Found<Backend[]> {
  const backends: Backend[] = [];
  for (const [index, { service: name, weight }] of split.spec.backends.entries()) {
    const field = `spec.backends[${index}].service`;
    const service = services.get(inNamespaceOf(split, name));
    if (service === undefined) {
      return refuse(split, field, "NotFound", `there is no Service ${inNamespaceOf(split, name)}`);
    }
    const found = backendPort(root, port, service);
    if (found === undefined) {
      const title = port.name === "" ? `${port.declared}` : `${port.declared} or "${port.name}"`;
      const why = `Service ${inNamespaceOf(split, name)} has no port ${title}, as Service ${split.spec.service} has`;
      return refuse(split, field, "NotFound", why);
    }
    backends.push({ namespace: service.namespace, name: service.name, port: found.port, weight });
  }
  return { value: backends };
}

/** A port that a backend does not have keeps its own endpoints, as long as another port is split. */
function routePorts(
  split: TrafficSplit,
  root: Service,
  services: Services,
  matches: readonly HttpMatch[],
): Found<{ readonly ports: readonly ServicePort[]; readonly left: readonly Problem[] }> {
  const problems: Problem[] = [];
  const left: Problem[] = [];
  const ports = root.ports.map((port) => {
    if (port.protocol === "udp") {
      return port;
    }
    const backends = backendsOf(split, root, port, services);
    if ("problem" in backends) {
      problems.push(backends.problem);
      left.push(refusePort(port, backends.problem));
      return port;
    }
    const route: Route = { rules: [{ matches, backends: backends.value }] };
    return { ...port, route };
  });
  if (ports.some((port) => port.route !== undefined)) {
    return { value: { ports, left } };
  }
  const [problem] = problems;
  return problem === undefined
    ? refuse(split, "spec.service", "InvalidValue", "the Service has no port that can be split")
    : { problem };
}

interface Routed {
  readonly root: Service;
  /** Ports that are not split, and why. */
  readonly left: readonly Problem[];
}

function applySplit(split: TrafficSplit, services: Services, plain: Services, groups: Groups): Found<Routed> {
  const weights = checkWeights(split);
  if (weights !== undefined) {
    return { problem: weights };
  }
  const name = inNamespaceOf(split, split.spec.service);
  const root = services.get(name);
  if (root === undefined) {
    return refuse(split, "spec.service", "NotFound", `there is no Service ${name}`);
  }
  if (root.ports.some((port) => port.route !== undefined)) {
    return refuse(split, "spec.service", "Conflict", `another TrafficSplit already splits Service ${name}`);
  }
  const matches = matchesOf(split, groups);
  if ("problem" in matches) {
    return matches;
  }
  const routed = routePorts(split, root, plain, matches.value);
  return "problem" in routed
    ? routed
    : { value: { root: { ...root, ports: routed.value.ports }, left: routed.value.left } };
}

/** Root → the roots of other splits among its backends. */
function chainsOf(splits: readonly TrafficSplit[]): ReadonlyMap<string, readonly string[]> {
  const roots = new Set(splits.map((split) => inNamespaceOf(split, split.spec.service)));
  return new Map(
    splits.map((split) => {
      const root = inNamespaceOf(split, split.spec.service);
      const backends = split.spec.backends.map((backend) => inNamespaceOf(split, backend.service));
      return [root, backends.filter((backend) => backend !== root && roots.has(backend))];
    }),
  );
}

function leadsTo(chains: ReadonlyMap<string, readonly string[]>, from: string, goal: string): boolean {
  const seen = new Set<string>();
  const open = [from];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === goal) {
      return true;
    }
    if (!seen.has(next)) {
      seen.add(next);
      open.push(...(chains.get(next) ?? []));
    }
  }
  return false;
}

/** A backend's own split does not apply, so splits in a circle do no harm; but who wrote them may mean otherwise. */
function reportChains(splits: readonly TrafficSplit[], report: Report): void {
  const chains = chainsOf(splits);
  for (const split of splits) {
    const root = inNamespaceOf(split, split.spec.service);
    for (const backend of chains.get(root) ?? []) {
      const circle = leadsTo(chains, backend, root);
      report({
        object: identify(split),
        field: "spec.backends",
        reason: circle ? "Cycle" : "Unsupported",
        message: `backend ${backend} is the root of another split${circle ? ", which leads back to this one" : ""}: its share goes to its own endpoints, not through that split`,
        severity: "warning",
      });
    }
  }
}

/** The services with the routes of the splits; a split with a problem changes nothing. */
export function withRoutes(
  snapshot: Snapshot,
  services: readonly Service[],
  report: Report,
): readonly Service[] {
  const plain = new Map(services.map((service) => [`${service.namespace}/${service.name}`, service]));
  const routed = new Map(plain);
  const groups = routeGroups(snapshot, report);
  const used: TrafficSplit[] = [];
  for (const split of objectsOf(snapshot, "TrafficSplit")) {
    const result = applySplit(split, routed, plain, groups);
    if ("problem" in result) {
      report(result.problem);
      continue;
    }
    const { root, left } = result.value;
    left.forEach(report);
    routed.set(`${root.namespace}/${root.name}`, root);
    used.push(split);
  }
  reportChains(used, report);
  return [...routed.values()];
}
