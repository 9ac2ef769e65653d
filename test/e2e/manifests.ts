/** Manifests of tests, in few words. */
import { apps } from "./mesh.ts";

export interface ServerOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly kind?: "Deployment" | "StatefulSet";
  readonly replicas?: number;
  readonly command?: readonly string[];
  /** Container port. */
  readonly port?: number;
  /** Of the Service; its name says the protocol. */
  readonly servicePort?: { readonly name: string; readonly port: number };
  readonly headless?: boolean;
  readonly meshed?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Default: a connection to the port; `null`: none. */
  readonly readinessProbe?: object | null;
  readonly terminationGracePeriodSeconds?: number;
  /** A second container that ends two seconds after the first, and with it the sidecar. */
  readonly lingering?: boolean;
}

const lingering = {
  name: "lingering",
  command: ["bash", "-c", "trap 'sleep 2; exit' TERM; while true; do sleep 0.1; done"],
};

function container(options: ServerOptions, port: number): object {
  const env = Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value }));
  const probe = options.readinessProbe ?? { tcpSocket: { port }, periodSeconds: 1 };
  return {
    name: options.name,
    command: options.command ?? ["node", "echo.ts"],
    workingDir: apps,
    env: [{ name: "PORT", value: String(port) }, ...env],
    ports: [{ containerPort: port }],
    ...(options.readinessProbe === null ? {} : { readinessProbe: probe }),
  };
}

/** A workload with its Service and service account, as one manifest (JSON, which is YAML too). */
export function server(options: ServerOptions): string {
  const { name, namespace = "default", port = 8080 } = options;
  const labels = {
    app: name,
    ...(options.meshed === false ? { "injector.nsm.nginx.com/auto-inject": "disabled" } : {}),
  };
  const metadata = { name, namespace };
  const service = options.servicePort ?? { name: "http", port: 80 };
  const objects = [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: {
        selector: { app: name },
        ...(options.headless === true ? { clusterIP: "None" } : {}),
        ports: [{ ...service, targetPort: port }],
      },
    },
    {
      apiVersion: "apps/v1",
      kind: options.kind ?? "Deployment",
      metadata,
      spec: {
        replicas: options.replicas ?? 1,
        ...(options.kind === "StatefulSet" ? { serviceName: name } : {}),
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels, annotations: options.annotations ?? {} },
          spec: {
            serviceAccountName: name,
            terminationGracePeriodSeconds: options.terminationGracePeriodSeconds ?? 5,
            containers: [container(options, port), ...(options.lingering === true ? [lingering] : [])],
          },
        },
      },
    },
  ];
  return objects.map((object) => JSON.stringify(object, undefined, 2)).join("\n---\n");
}

/** A pod that only waits, to run commands in. */
export function client(name: string, meshed = true, namespace = "default"): string {
  return server({
    name,
    namespace,
    meshed,
    command: ["sleep", "1000000"],
    readinessProbe: null,
    terminationGracePeriodSeconds: 0,
  });
}
