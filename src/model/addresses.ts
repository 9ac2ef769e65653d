/** Each address leads to one thing. */
import { canonicalAddress } from "./address.ts";
import type { Pod, Report, Service } from "./mesh.ts";

interface Claims {
  /** Takes the address, unless somebody has it: then who. */
  take(address: string, owner: string): string | undefined;
}

function createClaims(): Claims {
  const owners = new Map<string, string>();
  return {
    take(address, owner) {
      const canonical = canonicalAddress(address);
      const present = owners.get(canonical);
      if (present === undefined) {
        owners.set(canonical, owner);
      }
      return present;
    },
  };
}

function ownAddresses(service: Service, claims: Claims, report: Report): Service {
  const title = `Service ${service.namespace}/${service.name}`;
  const addresses = service.addresses.filter((address) => {
    const owner = claims.take(address, title);
    if (owner !== undefined) {
      report({
        object: title,
        field: "spec.clusterIP",
        reason: "Conflict",
        message: `${address} is already the address of ${owner}, which keeps it: give this one another, or none`,
        severity: "error",
      });
    }
    return owner === undefined;
  });
  return addresses.length === service.addresses.length ? service : { ...service, addresses };
}

/** The services, of which the first by name keeps an address that two have. */
export function servicesByAddress(services: readonly Service[], report: Report): readonly Service[] {
  const claims = createClaims();
  return services.map((service) => ownAddresses(service, claims, report));
}

/** The pods that are reached at their addresses: one that terminates gives way to the next that has its address. */
export function podsByAddress(
  pods: readonly Pod[],
  services: readonly Service[],
  report: Report,
): readonly Pod[] {
  const claims = createClaims();
  for (const service of services) {
    service.addresses.forEach((address) =>
      claims.take(address, `Service ${service.namespace}/${service.name}`),
    );
  }
  const reached = new Set<Pod>();
  for (const pod of pods.toSorted((a, b) => Number(a.terminating) - Number(b.terminating))) {
    const title = `Pod ${pod.namespace}/${pod.name}`;
    const addresses = [pod.address, ...pod.otherAddresses];
    const taken = addresses.map((address) => ({ address, owner: claims.take(address, title) }));
    const conflict = taken.find(({ owner }) => owner !== undefined);
    if (conflict === undefined) {
      reached.add(pod);
    } else if (!pod.terminating) {
      report({
        object: title,
        field: "status.podIP",
        reason: "Conflict",
        message: `${conflict.address} is already the address of ${conflict.owner}, which keeps it`,
        severity: "error",
      });
    }
  }
  return pods.filter((pod) => reached.has(pod));
}
