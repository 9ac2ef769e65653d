/** DNS names that stand in a pod's SVID: those of its Services, by which clients that are no sidecars verify it. Pure. */
import type { Service } from "../api/core.ts";
import { namespaceOf } from "../api/objects.ts";
import { clusterDomain } from "./names.ts";

type Labels = Readonly<Record<string, string>>;

function selects(service: Service, namespace: string, labels: Labels): boolean {
  const wanted = Object.entries(service.spec.selector ?? {});
  return (
    namespaceOf(service) === namespace &&
    service.spec.type !== "ExternalName" &&
    wanted.length > 0 &&
    wanted.every(([key, value]) => labels[key] === value)
  );
}

/** A certificate goes into every handshake, and peers refuse one that is too long: a pod of more Services has not all names. */
export const mostNamedServices = 32;

/** Of the Services that select a pod with these labels, the first `mostNamedServices` by name; sorted. */
export function serviceNames(
  services: readonly Service[],
  namespace: string,
  labels: Labels,
): readonly string[] {
  return services
    .filter((service) => selects(service, namespace, labels))
    .map(({ metadata: { name } }) => name)
    .sort()
    .slice(0, mostNamedServices)
    .flatMap((name) => {
      const base = `${name}.${namespace}`;
      return [base, `${base}.svc`, `${base}.svc.${clusterDomain}`];
    })
    .sort();
}
