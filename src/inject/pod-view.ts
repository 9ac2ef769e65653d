/** The fields of a pod that the injector reads. What else a pod has is not looked at and stays. */
import * as z from "zod";

const port = z.int().min(1).max(65535);
const portOrName = z.union([port, z.string()]);
const strings = z.record(z.string(), z.string());
/** A field that YAML leaves empty is null; the API server takes it for absent. */
const optional = <T extends z.ZodType>(type: T) => type.nullish();

const httpGet = z.looseObject({
  path: optional(z.string()),
  port: portOrName,
  host: optional(z.string()),
  scheme: optional(z.enum(["HTTP", "HTTPS"])),
});
const tcpSocket = z.looseObject({ port: portOrName, host: optional(z.string()) });
const probe = z.looseObject({
  httpGet: optional(httpGet),
  tcpSocket: optional(tcpSocket),
  grpc: optional(z.looseObject({ port, service: optional(z.string()) })),
});
const hook = z.looseObject({ httpGet: optional(httpGet) });

const userOnly = z.looseObject({ runAsUser: optional(z.int()) });

const container = z.looseObject({
  name: z.string(),
  ports: optional(
    z.array(
      z.looseObject({
        name: optional(z.string()),
        containerPort: port,
        protocol: optional(z.string()),
      }),
    ),
  ),
  livenessProbe: optional(probe),
  readinessProbe: optional(probe),
  startupProbe: optional(probe),
  lifecycle: optional(z.looseObject({ postStart: optional(hook), preStop: optional(hook) })),
  restartPolicy: optional(z.string()),
  securityContext: optional(userOnly),
});

export const podView = z.looseObject({
  metadata: optional(
    z.looseObject({
      name: optional(z.string()),
      namespace: optional(z.string()),
      labels: optional(strings),
      annotations: optional(strings),
      ownerReferences: optional(
        z.array(z.looseObject({ kind: z.string(), name: z.string(), controller: optional(z.boolean()) })),
      ),
    }),
  ),
  spec: z.looseObject({
    containers: z.array(container).min(1),
    initContainers: optional(z.array(container)),
    volumes: optional(z.array(z.looseObject({ name: z.string() }))),
    imagePullSecrets: optional(z.array(z.looseObject({ name: optional(z.string()) }))),
    hostNetwork: optional(z.boolean()),
    dnsPolicy: optional(z.string()),
    restartPolicy: optional(z.string()),
    nodeSelector: optional(strings),
    os: optional(z.looseObject({ name: z.string() })),
    securityContext: optional(userOnly),
  }),
});

export type PodView = z.infer<typeof podView>;
export type ContainerView = PodView["spec"]["containers"][number];
export type ProbeView = z.infer<typeof probe>;
export type HttpGetView = z.infer<typeof httpGet>;

/** A list of containers of a pod. */
export type ContainerList = "containers" | "initContainers";

/** All containers with their places, in the order in which they start. */
export function containersOf(pod: PodView): readonly {
  readonly list: ContainerList;
  readonly index: number;
  readonly container: ContainerView;
}[] {
  return (["initContainers", "containers"] as const).flatMap((list) =>
    (pod.spec[list] ?? []).map((container, index) => ({ list, index, container })),
  );
}

/** Whether it runs beside the application: not an init container, or one that goes on (KEP-753). */
export function runsOn(place: { readonly list: ContainerList; readonly container: ContainerView }): boolean {
  return place.list === "containers" || place.container.restartPolicy === "Always";
}
