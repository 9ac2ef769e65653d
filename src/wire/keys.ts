/**
 * The names of everything that is exchanged over NATS. Both sides build every subject and key with these
 * functions. The file compiles to Lua too: it uses only what TypeScript and Lua have in common.
 */

/** The JetStream key-value bucket; its number is the version of the contract in this folder. */
export const bucket = "mesh-v1";

/** Prefix of the subject of each key: what a core subscription that follows a key listens to. */
export const keySubjectPrefix = `$KV.${bucket}.`;

/** Prefix of the request subject that answers with the newest message of a key (JetStream direct get). */
export const directGetPrefix = `$JS.API.DIRECT.GET.KV_${bucket}.${keySubjectPrefix}`;

/**
 * Key that is present exactly when the bucket is complete: the control plane writes it last, after all other
 * keys, when it fills an empty bucket. While it is missing, the absence of another key says nothing.
 */
export const completeKey = "complete";

/** Kubernetes names may hold dots, which separate tokens in NATS; they never hold an underscore. */
export function token(name: string): string {
  return name.split(".").join("_");
}

/**
 * Key of what is known about an address. `address` is the canonical text: IPv4 dotted, or IPv6 as 32
 * lower-case hexadecimal digits (the form that the sidecar's module and `canonicalAddress` give).
 */
export function addressKey(address: string): string {
  return `address.${address.split(".").join("-")}`;
}

/** Key of a Service. */
export function serviceKey(namespace: string, name: string): string {
  return `service.${namespace}.${token(name)}`;
}

/** Key of the pods through which traffic leaves the mesh; absent: there is none. */
export const egressKey = "egress";

/** Key of a workload's own settings; `kind` in lower case, as `deployment`, or `pod` for a pod without owner. */
export function workloadKey(namespace: string, kind: string, name: string): string {
  return `workload.${namespace}.${kind}.${token(name)}`;
}

/** Subject to which one sidecar, and no other, publishes its statistics. */
export function statisticsSubject(namespace: string, serviceAccount: string, pod: string): string {
  return `statistics.${namespace}.${token(serviceAccount)}.${token(pod)}`;
}

/** Prefix of the reply subjects of all pods of one service account; nobody else may listen to them. */
export function inboxPrefix(namespace: string, serviceAccount: string): string {
  return `inbox.${namespace}.${token(serviceAccount)}`;
}

/** Server names in the ClientHello of a connection between two sidecars; they tell mesh TLS from an application's own. */
export const serverNames = {
  http: "http.nginx-mesh.internal",
  grpc: "grpc.nginx-mesh.internal",
  tcp: "tcp.nginx-mesh.internal",
} as const;
