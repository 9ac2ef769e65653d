/** The mesh in its own terms: every reference resolved, every problem kept. Nothing behind this knows SMI. */
import type { Problem } from "../api/problem.ts";
import type {
  HttpMatch,
  HttpProbe,
  LbMethod,
  LogFormat,
  LogLevel,
  MtlsMode,
  Protocol,
  WorkloadReference,
} from "../wire/messages.ts";

/** Settings of the whole mesh, from MeshConfig. */
export interface MeshSettings {
  readonly trustDomain: string;
  readonly mtlsMode: MtlsMode;
  /** Bytes; 0: no limit. */
  readonly clientMaxBodySize: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly balancing: LbMethod;
  /** Seconds. */
  readonly statisticsInterval: number;
}

export interface PortProtocol {
  readonly port: number;
  readonly protocol: Protocol;
}

/** What the pods of one owner have in common. */
export interface Workload extends WorkloadReference {
  readonly serviceAccount: string;
  /** SPIFFE ID. */
  readonly identity: string;
  readonly mtlsMode: MtlsMode;
  readonly clientMaxBodySize: number;
  /** Seconds; undefined: the sidecar's own, 24 hours. */
  readonly tcpIdleTimeout: number | undefined;
  readonly accessLog: boolean;
  /** Sorted; each number once. */
  readonly ports: readonly PortProtocol[];
  readonly probes: readonly HttpProbe[];
  /** HTTP to what is not of the mesh leaves through an ingress controller. */
  readonly egress: boolean;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  /** Addresses of its other address family. */
  readonly otherAddresses: readonly string[];
  readonly workload: WorkloadReference;
  readonly serviceAccount: string;
  /** Whether it has a sidecar. */
  readonly meshed: boolean;
  /** SPIFFE ID that its sidecar presents; empty: it speaks plain text, as it has no sidecar or its mode is `off`. */
  readonly identity: string;
  /** Ports that its sidecar does not see: what comes there comes in plain text. Sorted. */
  readonly plainPorts: readonly number[];
  /** SPIFFE ID with which it calls pods of the mesh over TLS of its own; empty: it is no ingress controller. */
  readonly ingress: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly ports: readonly PodPort[];
}

export interface PodPort extends PortProtocol {
  /** The headless Service with a route through which clients reach this port. */
  readonly headless: { readonly namespace: string; readonly name: string; readonly port: number } | undefined;
}

export interface Endpoint {
  /** Where it is reached: one of the pod's addresses. */
  readonly address: string;
  /** An address that is no pod's stands for a pod without a name. */
  readonly pod: Pod;
  readonly port: number;
}

/** A ready ingress controller that takes traffic out of the mesh. */
export interface EgressEndpoint extends Endpoint {
  /** SPIFFE ID. */
  readonly identity: string;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly headless: boolean;
  readonly addresses: readonly string[];
  /** Headless: those that its DNS name stands for, whatever their ports. */
  readonly pods: readonly Pod[];
  readonly ports: readonly ServicePort[];
}

export interface ServicePort {
  /** The port that clients connect to: for a headless Service that of its pods. */
  readonly port: number;
  /** The port as the Service declares it. */
  readonly declared: number;
  readonly name: string;
  readonly protocol: Protocol;
  readonly balancing: LbMethod;
  readonly route: Route | undefined;
  /** Ready ones, sorted by address and port. */
  readonly endpoints: readonly Endpoint[];
}

/** The first rule that applies decides; with none, requests go to the Service's own endpoints. */
export interface Route {
  readonly rules: readonly RouteRule[];
}

/** As a rule of an HTTPRoute (Gateway API); its filters, timeouts, retries and mirrors will stand beside these. */
export interface RouteRule {
  /** One of these must hold; none: the rule applies to all. */
  readonly matches: readonly HttpMatch[];
  /** Not all weights are 0. */
  readonly backends: readonly Backend[];
}

/** The endpoints of a Service's port; a route of that Service does not apply (Gateway API, GEP-1294). */
export interface Backend {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly weight: number;
}

export interface MeshModel {
  readonly settings: MeshSettings;
  /** CIDR, with canonical addresses. */
  readonly serviceRanges: readonly string[];
  readonly workloads: readonly Workload[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  /** Where traffic leaves the mesh; sorted by address. */
  readonly egress: readonly EgressEndpoint[];
  readonly problems: readonly Problem[];
}

/** Takes a problem; the model is made without what has it. */
export type Report = (problem: Problem) => void;
