/** Probes and HTTP lifecycle hooks, led through the sidecar: see `src/wire/probes.ts`. */
import { probeRequest, type ProbeRequest, type ProbeTarget } from "../wire/probes.ts";
import type { Operation, Path } from "./patch.ts";
import {
  containersOf,
  type ContainerView,
  type HttpGetView,
  type PodView,
  type ProbeView,
} from "./pod-view.ts";

export interface RewrittenProbes {
  readonly operations: readonly Operation[];
  /** What ports 8895 and 8896 may let through: `environment.probes`. */
  readonly allowed: string;
}

const probeNames = ["startupProbe", "livenessProbe", "readinessProbe"] as const;
const hookNames = ["postStart", "preStop"] as const;

/** Kept as they are in a path or query; `$` is not, as Kubernetes expands `$(NAME)` in environments. */
const kept = /[A-Za-z0-9\-._~/?!'*,;:@&=+]/;

/**
 * Path and query as they go over the wire: the kubelet sends a valid encoding as it is written (Go's
 * `URL.EscapedPath`), so what the sidecar sees is known here.
 */
function encodedPath(path: string): string {
  const [withoutFragment] = path.toWellFormed().split("#", 1);
  const absolute = withoutFragment!.startsWith("/") ? withoutFragment! : `/${withoutFragment}`;
  return absolute.replace(/%[0-9A-Fa-f]{2}|[^]/gu, (part) =>
    part.length === 3 || kept.test(part) ? part : encodeURIComponent(part).replace(/[()]/g, hex),
  );
}

function hex(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** A name means a port of the same container. */
function numberOf(port: number | string, container: ContainerView): number | undefined {
  return typeof port === "number" || /^\d+$/.test(port)
    ? Number(port)
    : container.ports?.find((candidate) => candidate.name === port)?.containerPort;
}

/** Undefined: it goes to another host, or to a port that nobody knows, and is none of the sidecar's business. */
function httpTarget(get: HttpGetView, container: ContainerView): ProbeTarget | undefined {
  const port = numberOf(get.port, container);
  return port === undefined || (get.host ?? "") !== ""
    ? undefined
    : { kind: get.scheme === "HTTPS" ? "https" : "http", port, path: encodedPath(get.path ?? "/") };
}

function probeTarget(probe: ProbeView, container: ContainerView): ProbeTarget | undefined {
  if (probe.httpGet) {
    return httpTarget(probe.httpGet, container);
  }
  if (probe.tcpSocket) {
    const port = numberOf(probe.tcpSocket.port, container);
    return port === undefined || (probe.tcpSocket.host ?? "") !== "" ? undefined : { kind: "tcp", port };
  }
  return probe.grpc
    ? { kind: "grpc", port: probe.grpc.port, service: encodeURIComponent(probe.grpc.service ?? "") }
    : undefined;
}

/** The new httpGet; what else the old one says (headers) stays. */
function rewritten(get: HttpGetView | null | undefined, request: ProbeRequest): object {
  const { scheme: _scheme, host: _host, ...others } = get ?? {};
  return { ...others, path: request.path, port: request.port };
}

interface Found {
  readonly target: ProbeTarget;
  readonly operations: (request: ProbeRequest) => readonly Operation[];
}

function probesOf(container: ContainerView, at: Path): readonly Found[] {
  return probeNames.flatMap((name): Found[] => {
    const probe = container[name];
    const target = probe ? probeTarget(probe, container) : undefined;
    if (!probe || target === undefined) {
      return [];
    }
    const path = [...at, name];
    const value = (request: ProbeRequest) => rewritten(probe.httpGet, request);
    const operations = (request: ProbeRequest): readonly Operation[] =>
      probe.httpGet
        ? [{ op: "replace", path: [...path, "httpGet"], value: value(request) }]
        : [
            { op: "remove", path: [...path, probe.tcpSocket ? "tcpSocket" : "grpc"] },
            { op: "add", path: [...path, "httpGet"], value: value(request) },
          ];
    return [{ target, operations }];
  });
}

function hooksOf(container: ContainerView, at: Path): readonly Found[] {
  return hookNames.flatMap((name): Found[] => {
    const get = container.lifecycle?.[name]?.httpGet;
    const target = get ? httpTarget(get, container) : undefined;
    return target === undefined
      ? []
      : [
          {
            target,
            operations: (request) => [
              { op: "replace", path: [...at, "lifecycle", name, "httpGet"], value: rewritten(get, request) },
            ],
          },
        ];
  });
}

/** `untouched`: ports that connections reach without the sidecar; their probes stay as they are. */
export function rewriteProbes(pod: PodView, untouched: ReadonlySet<number>): RewrittenProbes {
  const found = containersOf(pod)
    .flatMap(({ list, index, container }) => {
      const at: Path = ["spec", list, index];
      return [...probesOf(container, at), ...hooksOf(container, at)];
    })
    .filter(({ target }) => !untouched.has(target.port));
  const requests = found.map(({ target }) => probeRequest(target));
  return {
    operations: found.flatMap(({ operations }, index) => operations(requests[index]!)),
    allowed: [...new Set(requests.map(({ port, path }) => `${port}${path}`))].sort().join(" "),
  };
}
