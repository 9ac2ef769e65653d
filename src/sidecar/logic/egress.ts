/** Requests to what is not of the mesh, through ingress controllers. */
import { egressKey } from "../../wire/keys.ts";
import type { EgressMessage } from "../../wire/messages.ts";
import type { Key } from "./keys.ts";
import { mtlsMode, type Mesh, type MeshPool } from "./mesh.ts";
import { emptyPool, fillPool, findPool } from "./pools.ts";

/** Where HTTP begins with the client whatever happens, so that its first bytes can be waited for. */
export const httpPort = 80;

/** Whether this pod's requests leave the mesh through an egress. Without mTLS there is none to be trusted. */
export function hasEgress(mesh: Mesh): boolean {
  const settings = mesh.settings;
  return settings !== undefined && settings.egress === true && mtlsMode(mesh) !== "off";
}

/** The pool of all egress endpoints, brought up to date; empty when there are none. */
export function poolOfEgress(mesh: Mesh, key: Key): MeshPool {
  const pool = findPool(mesh, `${egressKey} 0`, { title: "egress", service: "", protocol: "http" });
  const message = key.value as EgressMessage | undefined;
  if (message === undefined) {
    emptyPool(mesh, pool);
  } else {
    fillPool(mesh, pool, message.endpoints, undefined);
  }
  return pool;
}

/** For people: why a request of this pod cannot leave. */
export const noEgress =
  "no ready pod is labelled nsm.nginx.com/enable-egress, through which requests of this pod leave the mesh (config.nsm.nginx.com/default-egress-allowed)";
