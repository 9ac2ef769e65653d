/** DNS names of the mesh (Kubernetes DNS-Based Service Discovery, version 1.1.0), as far as addresses go. Pure. */

export interface NamedService {
  readonly namespace: string;
  readonly name: string;
  /** Cluster addresses; of a headless Service those of its pods. */
  readonly addresses: readonly string[];
  /** Headless only: pods by name. */
  readonly pods: readonly { readonly name: string; readonly address: string }[];
}

export const clusterDomain = "cluster.local";

/** Name in lower case without the closing dot → addresses. */
export type Names = ReadonlyMap<string, readonly string[]>;

export function namesOf(services: readonly NamedService[]): Names {
  const names = new Map<string, readonly string[]>();
  for (const service of services) {
    const base = `${service.name}.${service.namespace}.svc.${clusterDomain}`;
    names.set(base, service.addresses);
    for (const pod of service.pods) {
      names.set(`${pod.name}.${base}`, [pod.address]);
    }
  }
  return names;
}

export type Answer =
  | { readonly kind: "addresses"; readonly addresses: readonly string[] }
  /** The name exists and has no address of the type that was asked for. */
  | { readonly kind: "empty" }
  | { readonly kind: "unknown" }
  /** Not a name of the mesh. */
  | { readonly kind: "outside" };

/** What to answer for a name; `turn` rotates the addresses so that clients spread. */
export function answerFor(names: Names, name: string, type: string, turn: number): Answer {
  const lower = name.toLowerCase().replace(/\.$/, "");
  const found = names.get(lower);
  if (found !== undefined) {
    if (type !== "A") {
      return { kind: "empty" };
    }
    const start = found.length === 0 ? 0 : turn % found.length;
    return { kind: "addresses", addresses: [...found.slice(start), ...found.slice(0, start)] };
  }
  // a single label is no name of the outside, but a short one of the mesh that the search list did not find
  if (!lower.includes(".") || lower.endsWith(`.${clusterDomain}`)) {
    return { kind: "unknown" };
  }
  return { kind: "outside" };
}

/** resolv.conf of a pod: short names are looked for in its namespace first. */
export function resolvConf(namespace: string, gateway: string): string {
  return `nameserver ${gateway}\nsearch ${namespace}.svc.${clusterDomain} svc.${clusterDomain} ${clusterDomain}\noptions ndots:5\n`;
}

/** hosts of a pod. */
export function hostsFile(name: string, address: string): string {
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${address} ${name}\n`;
}
