/** What whoever starts a sidecar (the injector, local mode) and the sidecar itself agree on. */

/** User and group of the sidecar's processes; the capture rules exempt this user. */
export const sidecarUser = 2102;

export const ports = {
  outgoing: 8900,
  incoming: 8901,
  outgoingError: 8902,
  incomingError: 8903,
  tcpIncoming: 8904,
  tcpIncomingDenied: 8905,
  tcpOutgoing: 8906,
  tcpIncomingPermissive: 8907,
  udpOutgoing: 8908,
  udpIncoming: 8909,
  status: 8886,
  metrics: 8887,
  httpIncoming: 8888,
  httpOutgoing: 8889,
  httpIncomingPermissive: 8890,
  grpcIncoming: 8891,
  grpcOutgoing: 8892,
  grpcIncomingPermissive: 8893,
  httpEgress: 8894,
  httpProbes: 8895,
  httpsProbes: 8896,
} as const;

/** Environment of the sidecar's nginx. nginx.conf passes exactly these on; everything else arrives over NATS. */
export const environment = {
  podName: "MESH_POD_NAME",
  podNamespace: "MESH_POD_NAMESPACE",
  /** The pod's first address: in Kubernetes as the API writes it (IPv6 with colons), else canonical, see `addressKey`. */
  podAddress: "MESH_POD_ADDRESS",
  serviceAccount: "MESH_SERVICE_ACCOUNT",
  /** `kind/name` in lower case kind, as `deployment/web`. */
  workload: "MESH_WORKLOAD",
  trustDomain: "MESH_TRUST_DOMAIN",
  /** `host:port` of NATS; the host is a name, which the sidecar looks up itself, or an address, IPv6 in brackets. */
  nats: "MESH_NATS",
  /** SPIFFE ID that the NATS server presents. */
  natsIdentity: "MESH_NATS_IDENTITY",
  /** What ports 8895 and 8896 let through, see `probes.ts`; absent: what the workload's configuration says. */
  probes: "MESH_PROBES",
} as const;

/**
 * On port 8886, for the pod itself: from then on callers that are no sidecars are told to go elsewhere. Answered when for
 * a second no connection of the application has been open and nothing has been on the way to it, or after 25 s.
 */
export const drainPath = "/drain";

/** In the init image: runs programs, then waits until the sidecar's state on a port is ready (`src/inject/init`). */
export const initProgram = "/usr/sbin/nginx-mesh-init";

/** Paths inside the sidecar's root file system. */
export const paths = {
  /** nginx.conf, lua/ and the module; read-only. */
  program: "/usr/share/nginx-mesh",
  /** Asks for `drainPath`: arguments are port and path. */
  drain: "/usr/share/nginx-mesh/drain",
  /** Writable (a tmpfs of a few MiB is enough): process id file, internal unix sockets. */
  runtime: "/run/nginx-mesh",
  /** Unix socket of the SPIFFE Workload API. */
  workloadApi: "/run/spire/sockets/agent.sock",
} as const;

/** SPIFFE IDs of the control plane's own parts. */
export const controlPlaneNamespace = "nginx-mesh";
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}
export const natsServiceAccount = "nats-server";
export const controllerServiceAccount = "nginx-mesh-controller";
