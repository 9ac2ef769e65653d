/** Manifests of the measured meshes, as text (JSON, which is YAML too). */

export interface Workload {
  readonly name: string;
  readonly replicas: number;
  readonly command: readonly string[];
}

/** Ports of the measured application, and of its Services. */
const ports = [
  { name: "http", port: 8080 },
  { name: "grpc", port: 9090 },
  { name: "tcp", port: 7000 },
] as const;

/** A Deployment of the application, its account, and a Service of the same name. */
export function workload({ name, replicas, command }: Workload): string {
  const metadata = { name, namespace: "bench" };
  return documents([
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    service(name, name),
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        replicas,
        selector: { matchLabels: { app: name } },
        template: {
          // as in the native configuration that it is compared with
          metadata: { labels: { app: name }, annotations: { "config.nginx-mesh/access-log": "false" } },
          spec: {
            serviceAccountName: name,
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: "app",
                command,
                ports: ports.map(({ port }) => ({ containerPort: port })),
                readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
  ]);
}

/** Services that select the pods of one workload. */
export function services(names: readonly string[], app: string): string {
  return documents(names.map((name) => service(name, app)));
}

/** All of a Service's traffic to one of two backends. */
export function split(
  name: string,
  backends: readonly { readonly service: string; readonly weight: number }[],
): string {
  return documents([
    {
      apiVersion: "split.smi-spec.io/v1alpha3",
      kind: "TrafficSplit",
      metadata: { name, namespace: "bench" },
      spec: { service: name, backends },
    },
  ]);
}

function service(name: string, app: string): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "bench" },
    spec: { selector: { app }, ports },
  };
}

function documents(objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object)).join("\n---\n");
}
