/** Manifests of test meshes as objects; a mesh reads them as JSON. */

export type Manifest = Readonly<Record<string, unknown>>;

export interface ContainerPort {
  readonly containerPort: number;
  readonly name?: string;
  readonly protocol?: string;
}

export interface WorkloadOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly kind?: "Deployment" | "StatefulSet" | "DaemonSet" | "Job";
  readonly replicas?: number;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly ports?: readonly ContainerPort[];
  readonly serviceAccount?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly meshed?: boolean;
  readonly readinessProbe?: Readonly<Record<string, unknown>>;
  /** Added to the container. */
  readonly container?: Readonly<Record<string, unknown>>;
  /** Added to the pod's spec. */
  readonly pod?: Readonly<Record<string, unknown>>;
}

export const testNamespace = "test";

/** A workload of one container; its pods have the label `app` with its name. */
export function workload(options: WorkloadOptions): Manifest {
  const { name, kind = "Deployment" } = options;
  const labels = {
    app: name,
    ...(options.meshed === false ? { "injector.nsm.nginx.com/auto-inject": "disabled" } : {}),
    ...options.labels,
  };
  return {
    apiVersion: kind === "Job" ? "batch/v1" : "apps/v1",
    kind,
    metadata: { name, namespace: options.namespace ?? testNamespace },
    spec: {
      ...(kind === "Job" || kind === "DaemonSet" ? {} : { replicas: options.replicas ?? 1 }),
      ...(kind === "StatefulSet" ? { serviceName: name } : {}),
      ...(kind === "Job" ? {} : { selector: { matchLabels: { app: name } } }),
      template: {
        metadata: { labels, annotations: options.annotations ?? {} },
        spec: {
          serviceAccountName: options.serviceAccount ?? name,
          terminationGracePeriodSeconds: 5,
          ...(kind === "Job" ? { restartPolicy: "OnFailure" } : {}),
          ...options.pod,
          containers: [
            {
              name,
              image: "test",
              command: options.command,
              ...(options.args === undefined ? {} : { args: options.args }),
              env: Object.entries(options.env ?? {}).map(([key, value]) => ({ name: key, value })),
              ports: options.ports ?? [],
              ...(options.readinessProbe === undefined ? {} : { readinessProbe: options.readinessProbe }),
              ...options.container,
            },
          ],
        },
      },
    },
  };
}

export interface ServicePort {
  readonly port: number;
  readonly name?: string;
  readonly targetPort?: number | string;
  readonly protocol?: string;
}

export interface ServiceOptions {
  readonly name: string;
  readonly namespace?: string;
  /** Default: the workload of the same name. */
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports: readonly ServicePort[];
  /** Added to the spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function service(options: ServiceOptions): Manifest {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: options.name,
      namespace: options.namespace ?? testNamespace,
      annotations: options.annotations ?? {},
    },
    spec: { selector: options.selector ?? { app: options.name }, ports: options.ports, ...options.spec },
  };
}

export interface SplitBackend {
  readonly service: string;
  readonly weight: number;
}

export function trafficSplit(name: string, root: string, backends: readonly SplitBackend[]): Manifest {
  return {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name, namespace: testNamespace },
    spec: { service: root, backends },
  };
}

/** Several objects as the text of one file. */
export function manifestText(objects: readonly Manifest[]): string {
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, undefined, 1)}\n`;
}
