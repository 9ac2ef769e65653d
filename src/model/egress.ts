/** Where traffic leaves the mesh: ingress controllers that listen for it over mTLS. */
import { annotations } from "../api/annotations.ts";
import type { RunningPod } from "../cluster/snapshot.ts";
import { spiffeId } from "../wire/sidecar.ts";
import type { PodPair } from "./endpoints.ts";
import type { EgressEndpoint, MeshSettings } from "./mesh.ts";

/** Where NGINX Ingress Controller listens with `-enable-internal-routes`. */
const internalRoutesPort = 443;
/** Name of that port in its Helm chart, which lets the number be changed. */
const internalRoutesPortName = "https";

function portOf(running: RunningPod): number {
  const named = running.ports.find(
    ({ name, protocol }) => name === internalRoutesPortName && protocol === "TCP",
  );
  return named?.containerPort ?? internalRoutesPort;
}

function takesEgress(running: RunningPod): boolean {
  return (
    running.labels[annotations.enableEgress] === "true" &&
    !running.meshed &&
    running.ready &&
    !running.terminating
  );
}

/** Sorted by address. */
export function egressEndpoints(
  pairs: readonly PodPair[],
  settings: MeshSettings,
): readonly EgressEndpoint[] {
  return pairs
    .filter(({ running }) => takesEgress(running))
    .map(({ running, pod }) => ({
      address: pod.address,
      pod,
      port: portOf(running),
      identity: spiffeId(settings.trustDomain, running.namespace, running.serviceAccount),
    }))
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port));
}
