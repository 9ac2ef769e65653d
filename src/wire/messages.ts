/**
 * The values of the keys, as JSON. A reader ignores fields that it does not know; when it cannot read a value,
 * or `version` is not its own, it keeps the last one that it could read.
 */

export const wireVersion = 1;

export type Protocol = "http" | "grpc" | "tcp" | "udp";
export type MtlsMode = "off" | "permissive" | "strict";
export type LogLevel = "debug" | "info" | "notice" | "warn" | "error" | "crit" | "alert" | "emerg";
export type LogFormat = "default" | "json";

/** `lb-method` of the public interface, as written there; `least_time` is the mesh's default. */
export type LbMethod =
  | "round_robin"
  | "least_conn"
  | "least_time"
  | "least_time last_byte"
  | "least_time last_byte inflight"
  | "random"
  | "random two"
  | "random two least_conn"
  | "random two least_time"
  | "random two least_time=last_byte";

/** Owner of a pod in the terms of `top` and of the metric labels; `kind` in lower case. */
export interface WorkloadReference {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

/** `kind` of the workload of an endpoint that is no pod; its name is that of the Service. */
export const externalKind = "external";

/** Value of `address.…`: what listens at an address of the cluster. */
export type AddressMessage = ServiceAddress | PodAddress;

/** A cluster address of a Service. */
export interface ServiceAddress {
  readonly version: number;
  readonly kind: "service";
  readonly namespace: string;
  readonly name: string;
}

/** The address of a pod. */
export interface PodAddress {
  readonly version: number;
  readonly kind: "pod";
  readonly namespace: string;
  readonly name: string;
  readonly workload: WorkloadReference;
  /** SPIFFE ID that the pod's sidecar must present; empty when the pod is not meshed or its mode is `off`. */
  readonly identity: string;
  /** Whether connections *from* this address start with mesh TLS when they go to a meshed pod. */
  readonly meshed: boolean;
  /**
   * SPIFFE ID with which the pod's own TLS may come from this address, for whatever server name, as an ingress
   * controller sends it; absent: such a connection is an application's own.
   */
  readonly ingress?: string;
  readonly ports: readonly PodPort[];
  /** Ports that clients reach past the pod's sidecar (`ignore-incoming-ports`), and so in plain text; absent: none. */
  readonly plainPorts?: readonly number[];
}

/** A port of a pod that something is known about; other ports of the pod are TCP. */
export interface PodPort {
  readonly port: number;
  readonly protocol: Protocol;
  /** A headless Service through which clients reach this port and that has a route of its own, as `namespace/name`. */
  readonly headless?: { readonly namespace: string; readonly name: string; readonly port: number };
}

/** Value of `service.…`. */
export interface ServiceMessage {
  readonly version: number;
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly ServicePort[];
}

export interface ServicePort {
  /** The Service's port; for a headless Service the port of its pods. */
  readonly port: number;
  readonly name: string;
  readonly protocol: Protocol;
  readonly balancing: LbMethod;
  /** Where requests go instead of to the endpoints below; absent: to the endpoints. */
  readonly route?: Route;
  /** HTTP or gRPC that no pod of the mesh serves: who has an egress reaches it through that. */
  readonly egress?: true;
  /** Ready endpoints, sorted by address and port. */
  readonly endpoints: readonly Endpoint[];
}

export interface Endpoint {
  /** Canonical text, see `addressKey`. */
  readonly address: string;
  readonly port: number;
  readonly pod: string;
  readonly workload: WorkloadReference;
  /** SPIFFE ID that its sidecar must present; empty: reached in plain text. */
  readonly identity: string;
}

/** Value of `egress`. */
export interface EgressMessage {
  readonly version: number;
  /** Ready ingress controllers that take traffic out of the mesh, over mTLS; not empty, sorted by address. */
  readonly endpoints: readonly Endpoint[];
}

/** The first rule with a match that a request satisfies applies; a rule without matches applies to all. */
export interface Route {
  readonly rules: readonly RouteRule[];
}

export interface RouteRule {
  readonly matches?: readonly HttpMatch[];
  /** Weights are integers >= 0, not all 0. */
  readonly backends: readonly Backend[];
}

/** All conditions that are present must hold. Regular expressions are PCRE and match the whole value. */
export interface HttpMatch {
  readonly pathRegex?: string;
  readonly methods?: readonly string[];
  /** Header name in lower case → regular expression. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Backend {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly weight: number;
}

/** Value of `workload.…`: what the sidecars of one workload need to know of themselves. */
export interface WorkloadMessage {
  readonly version: number;
  readonly workload: WorkloadReference;
  readonly identity: string;
  readonly trustDomain: string;
  readonly mtlsMode: MtlsMode;
  /** Bytes; 0: no limit. */
  readonly clientMaxBodySize: number;
  /** Seconds after which a TCP connection without traffic is closed; absent: 24 hours. */
  readonly tcpIdleTimeout?: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Whether there is a line for each request and TCP connection, in that format; absent: there is none. */
  readonly accessLog?: boolean;
  /** Balancing of destinations that are pod addresses or say nothing. */
  readonly balancing: LbMethod;
  /** The pod's own ports; on other ports incoming connections are TCP. */
  readonly ports: readonly WorkloadPort[];
  /** Ranges of Service addresses (CIDR): an unknown address in them is an unknown service, not the outside. */
  readonly serviceRanges: readonly string[];
  /** HTTP and HTTPS health probes of the pod, which the sidecar passes on from ports 8895 and 8896; absent: none. */
  readonly probes?: readonly HttpProbe[];
  /** Seconds between two publications of statistics. */
  readonly statisticsInterval: number;
  /** HTTP to what is not of the mesh goes through the endpoints of the key `egress`. */
  readonly egress?: true;
}

/** A probe that the injector rewrote to `/PORT/PATH` of the sidecar. */
export interface HttpProbe {
  readonly scheme: "http" | "https";
  readonly port: number;
  /** With its query, as in the pod. */
  readonly path: string;
}

export interface WorkloadPort {
  readonly port: number;
  readonly protocol: Protocol;
}

/**
 * What a sidecar publishes on its statistics subject, when anything changed since the last time. Counters are
 * totals since `startedAt` of the worker: a reader takes differences, so a lost message loses nothing.
 */
export interface StatisticsMessage {
  readonly version: number;
  readonly namespace: string;
  readonly pod: string;
  readonly workload: WorkloadReference;
  readonly worker: number;
  /** Unix seconds. */
  readonly startedAt: number;
  readonly edges: readonly EdgeStatistics[];
}

/** What a reader takes; NATS refuses larger messages of a sidecar, and closes its connection (src/identity/nats-server.ts). */
export const statisticsLimits = { bytes: 1024 * 1024, edges: 4000 } as const;

export interface EdgeStatistics {
  /** `to`: requests that this pod sent; `from`: requests that it received. */
  readonly direction: "to" | "from";
  readonly protocol: Protocol;
  /** `to`: the destination workload and the Service that was asked for (empty for a pod address). */
  readonly workload?: WorkloadReference;
  readonly service?: string;
  readonly pod?: string;
  /** `from`: the caller's SPIFFE ID, empty for plain text. */
  readonly identity?: string;
  readonly mtls: boolean;
  /** Requests (HTTP, gRPC) or connections (TCP) that ended; failures are 5xx, gRPC errors of the server's kind, refused or broken connections. */
  readonly total: number;
  readonly failures: number;
  /** Counts by `latencyBuckets`; one more than there are bounds. */
  readonly latency: readonly number[];
}

/** Upper bounds in milliseconds of the latency histograms; above the last one is one more bucket. */
export const latencyBuckets: readonly number[] = [
  1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 65, 80, 100, 130, 160, 200, 250, 320, 400, 500, 650,
  800, 1000, 1500, 2000, 3000, 5000, 10000, 30000, 60000,
];
