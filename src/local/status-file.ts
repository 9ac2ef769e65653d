/** What the engine tells the controller, as a file that is replaced whole. */
import { renameSync, writeFileSync } from "node:fs";
import type { LocalStatus } from "../cluster/local-status.ts";
import type { Service } from "../api/core.ts";
import { namespaceOf } from "../api/objects.ts";
import type { AddressPlan, ServiceAddresses } from "./addresses.ts";
import type { LocalPodHandle } from "./pod.ts";

export interface StatusInput {
  readonly plan: AddressPlan;
  readonly services: readonly Service[];
  readonly addressOf: ServiceAddresses;
  readonly pods: readonly LocalPodHandle[];
}

function podStatus(pod: LocalPodHandle): LocalStatus["pods"][number] {
  const { desired } = pod;
  return {
    namespace: desired.namespace,
    name: desired.name,
    uid: `${desired.namespace}.${desired.name}.${pod.number}`,
    labels: { ...desired.labels },
    annotations: { ...desired.annotations },
    owner: desired.owner,
    serviceAccount: desired.serviceAccount,
    address: pod.address,
    ready: pod.ready,
    terminating: pod.terminating,
    meshed: desired.meshed,
    ports: desired.spec.containers.flatMap((container) =>
      (container.ports ?? []).map((port) => ({
        ...(port.name === undefined ? {} : { name: port.name }),
        containerPort: port.containerPort,
        protocol: port.protocol ?? "TCP",
      })),
    ),
  };
}

export function statusOf(input: StatusInput): LocalStatus {
  const wanted = new Set(input.services.flatMap((service) => service.spec.clusterIP ?? []));
  const services = input.services
    .filter((service) => service.spec.type !== "ExternalName")
    .map((service) => {
      const namespace = namespaceOf(service);
      const { name } = service.metadata;
      const headless = service.spec.clusterIP === "None";
      return {
        namespace,
        name,
        addresses: headless ? [] : [input.addressOf(`${namespace}/${name}`, service.spec.clusterIP, wanted)],
      };
    });
  return { version: 1, serviceRanges: [input.plan.serviceRange], services, pods: input.pods.map(podStatus) };
}

/** Writes when the text differs from the last one; returns whether it did. */
export function statusWriter(path: string): (status: LocalStatus) => boolean {
  let last = "";
  return (status) => {
    const text = JSON.stringify(status);
    if (text === last) {
      return false;
    }
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    last = text;
    return true;
  };
}
