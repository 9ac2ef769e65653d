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

export interface Workload {
  readonly namespace: string;
  /** Lower case: `deployment`, …, `pod` for a pod without owner. */
  readonly kind: string;
  readonly name: string;
  readonly serviceAccount: string;
  readonly identity: string;
  readonly mtlsMode: MtlsMode;
  readonly clientMaxBodySize: number;
  readonly ports: readonly { readonly port: number; readonly protocol: Protocol }[];
  readonly probes: readonly HttpProbe[];
}

export interface Endpoint {
  readonly pod: Pod;
  readonly port: number;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly workload: { readonly namespace: string; readonly kind: string; readonly name: string };
  readonly serviceAccount: string;
  /** Whether it has a sidecar that speaks mTLS. */
  readonly meshed: boolean;
  /** Empty when it is not meshed or its mode is `off`. */
  readonly identity: string;
  readonly ports: readonly PodPort[];
}

export interface PodPort {
  readonly port: number;
  readonly protocol: Protocol;
  readonly headless: { readonly namespace: string; readonly name: string; readonly port: number } | undefined;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly headless: boolean;
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
}

export interface ServicePort {
  readonly port: number;
  readonly name: string;
  readonly protocol: Protocol;
  readonly balancing: LbMethod;
  readonly route: Route | undefined;
  readonly endpoints: readonly Endpoint[];
}

/** Has room for what an HTTPRoute of the Gateway API says. */
export interface Route {
  readonly rules: readonly RouteRule[];
}

export interface RouteRule {
  readonly matches: readonly HttpMatch[];
  readonly backends: readonly Backend[];
}

export interface Backend {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly weight: number;
}

export interface MeshModel {
  readonly settings: MeshSettings;
  readonly serviceRanges: readonly string[];
  readonly workloads: readonly Workload[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly problems: readonly Problem[];
}
