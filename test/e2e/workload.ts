/** Manifests of workloads with several ports and settings, for the tests of the data path. */
import { apps } from "./mesh.ts";

export interface WorkloadPort {
  /** Its first part says the protocol. */
  readonly name: string;
  /** Of the Service. */
  readonly port: number;
  /** Of the container; default: the Service's. */
  readonly target?: number;
  /** Default: TCP. */
  readonly protocol?: "UDP";
}

export interface Workload {
  readonly name: string;
  readonly kind?: "Deployment" | "StatefulSet";
  readonly replicas?: number;
  /** Default: `anything.ts`, see there. */
  readonly command?: readonly string[];
  readonly ports?: readonly WorkloadPort[];
  readonly env?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly meshed?: boolean;
  readonly headless?: boolean;
  readonly serviceAccount?: string;
  readonly probe?: object;
}

/** Several objects as one manifest. */
export function manifest(...objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object, undefined, 1)).join("\n---\n");
}

function template(options: Workload): object {
  const { name, ports = [] } = options;
  const inject = options.meshed === false ? { "injector.nsm.nginx.com/auto-inject": "disabled" } : {};
  const targets = [...new Set(ports.map((entry) => entry.target ?? entry.port))];
  return {
    metadata: { labels: { app: name, ...inject, ...options.labels }, annotations: options.annotations ?? {} },
    spec: {
      serviceAccountName: options.serviceAccount ?? name,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name,
          command: options.command ?? ["node", "anything.ts"],
          workingDir: apps,
          env: Object.entries(options.env ?? {}).map(([key, value]) => ({ name: key, value })),
          ports: targets.map((containerPort) => ({ containerPort })),
          ...(options.probe === undefined ? {} : { readinessProbe: options.probe }),
        },
      ],
    },
  };
}

/** A Service for pods by label. */
export function service(
  name: string,
  selector: Readonly<Record<string, string>>,
  ports: readonly WorkloadPort[],
  options: { readonly headless?: boolean; readonly annotations?: Readonly<Record<string, string>> } = {},
): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, annotations: options.annotations ?? {} },
    spec: {
      selector,
      ...(options.headless === true ? { clusterIP: "None" } : {}),
      ports: ports.map((entry) => ({
        name: entry.name,
        port: entry.port,
        targetPort: entry.target ?? entry.port,
        ...(entry.protocol === undefined ? {} : { protocol: entry.protocol }),
      })),
    },
  };
}

/** The workload, its service account, and (with ports) its Service. */
export function workload(options: Workload): string {
  const { name, ports = [] } = options;
  const account = options.serviceAccount ?? name;
  return manifest(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: account } },
    ...(ports.length === 0
      ? []
      : [service(name, { app: name }, ports, { headless: options.headless ?? false })]),
    {
      apiVersion: "apps/v1",
      kind: options.kind ?? "Deployment",
      metadata: { name },
      spec: {
        replicas: options.replicas ?? 1,
        ...(options.kind === "StatefulSet" ? { serviceName: name } : {}),
        selector: { matchLabels: { app: name } },
        template: template(options),
      },
    },
  );
}

/** The mesh's settings with these fields. */
export function meshConfig(spec: object): string {
  return manifest({
    apiVersion: "nsm.nginx.com/v1alpha2",
    kind: "MeshConfig",
    metadata: { name: "nginx-mesh-config", namespace: "nginx-mesh" },
    spec: { meshConfigClassName: "nginx-mesh-meshconfig-class", ...spec },
  });
}

/** A pod that only waits: tests run their clients in it. */
export function idle(name: string, options: Partial<Workload> = {}): string {
  return workload({ name, command: ["sleep", "1000000"], ...options });
}

/** The ports that `anything.ts` serves, with its Service's ports. */
export const anything: readonly WorkloadPort[] = [
  { name: "http", port: 80, target: 8080 },
  { name: "http-raw", port: 81, target: 8081 },
  { name: "grpc", port: 50051 },
  { name: "http-h2c", port: 82, target: 50051 },
  { name: "tcp-echo", port: 7000 },
  { name: "tcp-first", port: 7001 },
  { name: "tcp-sum", port: 7002 },
  { name: "tcp-end", port: 7003 },
  { name: "tcp-tls", port: 7443 },
];

/** A port of `anything.ts` for HTTP/2 that is not gRPC. */
export const http2Port: WorkloadPort = { name: "http-h2", port: 83, target: 8082 };

/** Answers when all of `anything.ts` listens: its HTTP server starts last. */
export const anythingReady = { tcpSocket: { port: 8080 }, periodSeconds: 1 };
