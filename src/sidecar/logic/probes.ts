/** What comes to ports 8895 and 8896, read back: see src/wire/probes.ts. */
import type { HttpProbe } from "../../wire/messages.ts";
import type { ProbeTarget } from "../../wire/probes.ts";
import { ports } from "../../wire/sidecar.ts";

/** A port number in decimal digits; undefined when the text is none. */
function portNumber(text: string): number | undefined {
  const value = text.length === 0 || text.length > 5 ? NaN : Number(text);
  return value >= 1 && value <= 65535 ? value : undefined;
}

/** Splits `/HEAD/TAIL`; the tail keeps its slash. */
function split(uri: string): { head: string; tail: string } | undefined {
  const slash = uri.substring(0, 1) === "/" ? uri.indexOf("/", 1) : -1;
  return slash < 0 ? undefined : { head: uri.substring(1, slash), tail: uri.substring(slash) };
}

function specialTarget(kind: string, tail: string): ProbeTarget | undefined {
  if (kind === "tcp") {
    const port = portNumber(tail.substring(1));
    return port === undefined ? undefined : { kind: "tcp", port };
  }
  const parts = kind === "grpc" ? split(tail) : undefined;
  const port = parts === undefined ? undefined : portNumber(parts.head);
  return parts === undefined || port === undefined
    ? undefined
    : { kind: "grpc", port, service: parts.tail.substring(1) };
}

/** The target of a request as it came to the sidecar's port; undefined when it is of no known form. */
export function readProbe(sidecarPort: number, uri: string): ProbeTarget | undefined {
  const parts = split(uri);
  if (parts === undefined) {
    return undefined;
  }
  const port = portNumber(parts.head);
  if (port !== undefined) {
    return { kind: sidecarPort === ports.httpsProbes ? "https" : "http", port, path: parts.tail };
  }
  return sidecarPort === ports.httpProbes ? specialTarget(parts.head, parts.tail) : undefined;
}

/** Requests that the pod's environment lists: `8895/8080/healthz 8895/tcp/5432`. */
export function listedProbes(text: string): Record<string, boolean> {
  const listed: Record<string, boolean> = {};
  const all = text.split(" ");
  for (let i = 0; i < all.length; i++) {
    listed[all[i]!] = true;
  }
  return listed;
}

/** Whether the workload's configuration has the probe, where the environment lists none. */
export function isConfigured(probes: readonly HttpProbe[], target: ProbeTarget): boolean {
  for (let i = 0; i < probes.length; i++) {
    const probe = probes[i]!;
    if (probe.scheme === target.kind && probe.port === target.port && probe.path === target.path) {
      return true;
    }
  }
  return false;
}

/**
 * The header `Host` for the application: what the probe sets, but for what the kubelet makes of the address and port
 * that it asks, which would name the sidecar's port.
 */
export function hostHeader(host: string, sidecarPort: number, port: number): string {
  const end = `:${sidecarPort}`;
  const start = host.length - end.length;
  return start >= 0 && host.substring(start) === end ? `${host.substring(0, start)}:${port}` : host;
}
