/** Ingress controllers: pods that call those of the mesh with an SVID of their own. */
import { annotations } from "../api/annotations.ts";
import type { RunningPod } from "../cluster/snapshot.ts";
import { spiffeId } from "../wire/sidecar.ts";
import type { MeshSettings } from "./mesh.ts";

/** SPIFFE ID of the controller in the pod; empty: it is none. A pod with a sidecar speaks through that. */
export function ingressIdentity(running: RunningPod, settings: MeshSettings): string {
  return !running.meshed && running.labels[annotations.enableIngress] === "true"
    ? spiffeId(settings.trustDomain, running.namespace, running.serviceAccount)
    : "";
}
