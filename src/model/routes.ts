/** TrafficSplits as routes of their root services. */
import { identify, namespaceOf } from "../api/objects.ts";
import type { HttpRouteGroup, TrafficSplit } from "../api/policies.ts";
import type { Problem, ProblemReason } from "../api/problem.ts";
import { objectsOf, type Snapshot } from "../cluster/snapshot.ts";
import type { HttpMatch } from "../wire/messages.ts";
import type { Backend, Route, Service, ServicePort } from "./mesh.ts";

/** A split that cannot be used; the root service keeps its own endpoints. */
class SplitProblem extends Error {
  readonly problem: Problem;
  constructor(split: TrafficSplit, field: string, reason: ProblemReason, message: string) {
    super(message);
    this.problem = { object: identify(split), field, reason, message, severity: "error" };
  }
}

function lowerCaseNames(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]): [string, string] => [name.toLowerCase(), value])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function matchesOf(group: HttpRouteGroup): HttpMatch[] {
  return (group.spec.matches ?? []).map((match) => ({
    ...(match.pathRegex === undefined ? {} : { pathRegex: match.pathRegex }),
    ...(match.methods === undefined ? {} : { methods: match.methods }),
    ...(match.headers === undefined ? {} : { headers: lowerCaseNames(match.headers) }),
  }));
}

function splitMatches(split: TrafficSplit, groups: readonly HttpRouteGroup[]): HttpMatch[] {
  return (split.spec.matches ?? []).flatMap((reference, index) => {
    const group = groups.find(
      (candidate) =>
        namespaceOf(candidate) === namespaceOf(split) && candidate.metadata.name === reference.name,
    );
    if (group === undefined) {
      const message = `there is no HTTPRouteGroup "${reference.name}" in namespace ${namespaceOf(split)}; the split is not used`;
      throw new SplitProblem(split, `spec.matches[${index}].name`, "NotFound", message);
    }
    return matchesOf(group);
  });
}

/** Of a backend the port with the root's number, else the one with its name, else the only one. */
function backendPort(root: ServicePort, service: Service): number | undefined {
  const same = service.ports.find((port) => port.port === root.port);
  const named = root.name === "" ? undefined : service.ports.find((port) => port.name === root.name);
  const only = service.ports.length === 1 ? service.ports[0] : undefined;
  return (same ?? named ?? only)?.port;
}

function backendsOf(
  split: TrafficSplit,
  root: ServicePort,
  services: ReadonlyMap<string, Service>,
): Backend[] {
  const namespace = namespaceOf(split);
  return split.spec.backends.map((backend, index) => {
    const service = services.get(`${namespace}/${backend.service}`);
    if (service === undefined) {
      const message = `there is no Service "${backend.service}" in namespace ${namespace}; the split is not used`;
      throw new SplitProblem(split, `spec.backends[${index}].service`, "NotFound", message);
    }
    const port = backendPort(root, service);
    if (port === undefined) {
      const message = `Service "${backend.service}" has no port ${root.port}${root.name === "" ? "" : ` or "${root.name}"`} as the root service has; the split is not used`;
      throw new SplitProblem(split, `spec.backends[${index}].service`, "NotFound", message);
    }
    return { namespace, name: backend.service, port, weight: backend.weight };
  });
}

function routeOf(
  split: TrafficSplit,
  root: ServicePort,
  services: ReadonlyMap<string, Service>,
  matches: readonly HttpMatch[],
): Route {
  return { rules: [{ matches, backends: backendsOf(split, root, services) }] };
}

function checkWeights(split: TrafficSplit): void {
  if (split.spec.backends.length === 0) {
    throw new SplitProblem(
      split,
      "spec.backends",
      "InvalidValue",
      "there is no backend; the split is not used",
    );
  }
  if (split.spec.backends.every((backend) => backend.weight === 0)) {
    const message =
      "all weights are 0, so no request could go anywhere; the split is not used: give one backend a weight";
    throw new SplitProblem(split, "spec.backends", "AllWeightsZero", message);
  }
}

function applySplit(
  split: TrafficSplit,
  services: Map<string, Service>,
  groups: readonly HttpRouteGroup[],
): void {
  checkWeights(split);
  const name = `${namespaceOf(split)}/${split.spec.service}`;
  const root = services.get(name);
  if (root === undefined) {
    const message = `there is no Service "${split.spec.service}" in namespace ${namespaceOf(split)}; the split is not used`;
    throw new SplitProblem(split, "spec.service", "NotFound", message);
  }
  if (root.ports.some((port) => port.route !== undefined)) {
    const message = `another TrafficSplit already splits Service ${name}; this one is not used`;
    throw new SplitProblem(split, "spec.service", "Conflict", message);
  }
  const matches = splitMatches(split, groups);
  const ports = root.ports.map((port) =>
    port.protocol === "udp" ? port : { ...port, route: routeOf(split, port, services, matches) },
  );
  services.set(name, { ...root, ports });
}

/** The services with the routes of the splits; a split with a problem changes nothing. */
export function withRoutes(snapshot: Snapshot, plain: readonly Service[], problems: Problem[]): Service[] {
  const services = new Map(plain.map((service) => [`${service.namespace}/${service.name}`, service]));
  const groups = objectsOf(snapshot, "HTTPRouteGroup");
  for (const split of objectsOf(snapshot, "TrafficSplit")) {
    try {
      applySplit(split, services, groups);
    } catch (error) {
      if (!(error instanceof SplitProblem)) {
        throw error;
      }
      problems.push(error.problem);
    }
  }
  return [...services.values()];
}
