/** The HTTP interface of the statistics: SMI metrics, and what `nginx-meshctl top` asks for. Pure. */
import type { Flow } from "./flows.ts";
import { type Interval, smiEdges, smiList, smiResource, smiResources, smiRoot } from "./smi.ts";
import { edgesOf, type ResourceKinds, resourceKinds, trafficOf } from "./traffic.ts";

export interface Reply {
  readonly status: number;
  /** Written as JSON. */
  readonly body: unknown;
}

/** Answers GET requests for a path that is `path` or starts with `path/`. */
export interface Route {
  readonly path: string;
  answer(url: URL): Reply;
}

/** Reads the flows of the last `seconds`. */
export type ReadFlows = (seconds: number) => { readonly flows: readonly Flow[]; readonly time: Date };

const longestWindow = 30;

/** The window of `?window=10s`: 1 to 30 seconds; 30 when the query does not say. */
function windowOf(url: URL): number | undefined {
  const text = url.searchParams.get("window") ?? `${longestWindow}s`;
  const match = /^(\d{1,2})s?$/.exec(text);
  const seconds = Number(match?.[1] ?? Number.NaN);
  return seconds >= 1 && seconds <= longestWindow ? seconds : undefined;
}

function isKinds(text: string | undefined): text is ResourceKinds {
  return text !== undefined && Object.hasOwn(resourceKinds, text);
}

/** As Kubernetes' Status object. */
function failure(code: number, reason: string, message: string): Reply {
  return {
    status: code,
    body: { kind: "Status", apiVersion: "v1", status: "Failure", message, reason, code },
  };
}

function notFound(path: string): Reply {
  return failure(404, "NotFound", `there is nothing at ${path}`);
}

function withFlows(
  url: URL,
  read: ReadFlows,
  make: (flows: readonly Flow[], interval: Interval) => object,
): Reply {
  const seconds = windowOf(url);
  if (seconds === undefined) {
    return failure(400, "BadRequest", `window must be 1s to ${longestWindow}s`);
  }
  const { flows, time } = read(seconds);
  return { status: 200, body: make(flows, { time, seconds }) };
}

function smi(url: URL, read: ReadFlows): Reply {
  const [first, second, third, fourth, fifth, ...rest] = url.pathname
    .slice(smiRoot.length)
    .split("/")
    .filter((part) => part !== "")
    .map(decode);
  if (rest.length > 0) {
    return notFound(url.pathname);
  }
  if (first === undefined) {
    return { status: 200, body: smiResources() };
  }
  if (second === undefined) {
    return isKinds(first)
      ? withFlows(url, read, (flows, interval) => smiList(flows, interval, first))
      : notFound(url.pathname);
  }
  if (first !== "namespaces") {
    return notFound(url.pathname);
  }
  return third === undefined || (third === "edges" && fourth === undefined)
    ? ofResource(url, read, "namespaces", "", second, third)
    : ofKind(url, read, second, third, fourth, fifth);
}

function ofKind(
  url: URL,
  read: ReadFlows,
  namespace: string,
  kinds: string,
  name: string | undefined,
  last: string | undefined,
): Reply {
  if (!isKinds(kinds) || kinds === "namespaces") {
    return notFound(url.pathname);
  }
  return name === undefined
    ? withFlows(url, read, (flows, interval) => smiList(flows, interval, kinds, namespace))
    : ofResource(url, read, kinds, namespace, name, last);
}

function ofResource(
  url: URL,
  read: ReadFlows,
  kinds: ResourceKinds,
  namespace: string,
  name: string,
  last: string | undefined,
): Reply {
  if (last !== undefined && last !== "edges") {
    return notFound(url.pathname);
  }
  return withFlows(url, read, (flows, interval) =>
    last === "edges"
      ? smiEdges(flows, interval, kinds, namespace, name)
      : smiResource(flows, interval, kinds, namespace, name),
  );
}

/** A path that is not percent-encoded UTF-8 names nothing. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "\u0000";
  }
}

/**
 * `?kind=deployments&namespace=default`: the resources of a kind; with `name=web` the edges of one, with `edges=all`
 * those of all.
 */
function top(url: URL, read: ReadFlows): Reply {
  const kinds = url.searchParams.get("kind") ?? "deployments";
  if (!isKinds(kinds)) {
    return failure(400, "BadRequest", `kind must be one of ${Object.keys(resourceKinds).join(", ")}`);
  }
  const namespace = kinds === "namespaces" ? undefined : (url.searchParams.get("namespace") ?? undefined);
  const name = url.searchParams.get("name");
  const all = url.searchParams.get("edges") === "all";
  return withFlows(url, read, (flows, { seconds }) => {
    const head = { window: seconds, kind: kinds };
    if (name === null && !all) {
      return { ...head, resources: trafficOf(flows, kinds, namespace) };
    }
    const edges = edgesOf(flows, kinds, namespace);
    return { ...head, edges: all ? edges : edges.filter((edge) => edge.resource.name === name) };
  });
}

export function statisticsRoutes(read: ReadFlows): readonly Route[] {
  return [
    { path: smiRoot, answer: (url) => smi(url, read) },
    { path: "/top", answer: (url) => top(url, read) },
  ];
}
