/** What the injector must know of the mesh; the controller serves it as JSON to `nginx-meshctl inject`. */
import * as z from "zod";

const quantities = z.record(z.string(), z.string());

export const injectSettings = z.strictObject({
  /** Namespace of the control plane. */
  meshNamespace: z.string().min(1),
  trustDomain: z.string().min(1),
  /** `host:port` of NATS; the sidecar resolves the name. */
  nats: z.string().regex(/^\S+:\d{1,5}$/, "must be HOST:PORT"),
  sidecarImage: z.string().min(1),
  initImage: z.string().min(1),
  imagePullPolicy: z.enum(["Always", "IfNotPresent", "Never"]),
  /**
   * `native`: the sidecar is an init container that goes on (KEP-753, Kubernetes 1.29): it is ready before the
   * application starts, ends after it, and a Job completes. `classic`: a container beside the application's.
   */
  order: z.enum(["native", "classic"]),
  /** Whether pods have IPv6 addresses: their connections are captured too. */
  ipv6: z.boolean(),
  /** How the socket of the Workload API comes into the pod: from the node's folder, or by SPIFFE's CSI driver. */
  workloadApi: z.enum(["hostPath", "csi"]),
  /** Secret with the registry's credentials, which every namespace with sidecars has; absent: none are needed. */
  pullSecret: z.string().min(1).optional(),
  /** Resources of the sidecar, as in a container. */
  resources: z.strictObject({ requests: quantities.optional(), limits: quantities.optional() }),
});
export type InjectSettings = z.infer<typeof injectSettings>;

/** Measured: a sidecar with a hundred services in use, and one in a small mesh, idle. */
export const defaultResources: InjectSettings["resources"] = { requests: { cpu: "10m", memory: "16Mi" } };
