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

/** All names are in lower case and without the closing dot. */
export interface Names {
  /** Name → addresses. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** Name of an address, as `reverseName` gives it → name. */
  readonly pointers: ReadonlyMap<string, string>;
  /** The closing part of the names of all of the mesh's own addresses. */
  readonly reverseZone: string;
}

/** Name of an address, or of a range by its bytes, in the tree of addresses (RFC 1035, section 3.5). */
function reverseName(bytes: string): string {
  return `${bytes.split(".").reverse().join(".")}.in-addr.arpa`;
}

/** `range`: the mesh's own, of 16 bits. Of several Services with one address the first names it. */
export function namesOf(services: readonly NamedService[], range: string): Names {
  const addresses = new Map<string, readonly string[]>();
  const pointers = new Map<string, string>();
  const point = (address: string, name: string): void => {
    const reverse = reverseName(address);
    pointers.set(reverse, pointers.get(reverse) ?? name);
  };
  for (const service of services) {
    const base = `${service.name}.${service.namespace}.svc.${clusterDomain}`;
    addresses.set(base, service.addresses);
    for (const pod of service.pods) {
      addresses.set(`${pod.name}.${base}`, [pod.address]);
      point(pod.address, `${pod.name}.${base}`);
    }
    if (service.pods.length === 0) {
      service.addresses.forEach((address) => point(address, base));
    }
  }
  return { addresses, pointers, reverseZone: reverseName(range.split(".").slice(0, 2).join(".")) };
}

export type Answer =
  | { readonly kind: "addresses"; readonly addresses: readonly string[] }
  /** Of the address whose name was asked for. */
  | { readonly kind: "name"; readonly name: string }
  /** The name exists and has nothing of the type that was asked for. */
  | { readonly kind: "empty" }
  | { readonly kind: "unknown" }
  /** Not a name of the mesh. */
  | { readonly kind: "outside" };

/** What to answer for a name; `turn` rotates the addresses so that clients spread. */
export function answerFor(names: Names, name: string, type: string, turn: number): Answer {
  const lower = name.toLowerCase().replace(/\.$/, "");
  const found = names.addresses.get(lower);
  if (found !== undefined) {
    if (type !== "A") {
      return { kind: "empty" };
    }
    const start = found.length === 0 ? 0 : turn % found.length;
    return { kind: "addresses", addresses: [...found.slice(start), ...found.slice(0, start)] };
  }
  const pointer = names.pointers.get(lower);
  if (pointer !== undefined) {
    return type === "PTR" ? { kind: "name", name: pointer } : { kind: "empty" };
  }
  // a single label is no name of the outside, but a short one of the mesh that the search list did not find
  const own = [clusterDomain, names.reverseZone].some((zone) => lower.endsWith(`.${zone}`));
  if (!lower.includes(".") || own) {
    return { kind: "unknown" };
  }
  return { kind: "outside" };
}

/** resolv.conf of a pod: short names are looked for in its namespace first. */
export function resolvConf(namespace: string, gateway: string): string {
  return `nameserver ${gateway}\nsearch ${namespace}.svc.${clusterDomain} svc.${clusterDomain} ${clusterDomain}\noptions ndots:5\n`;
}

/** A pod's own name for itself. One that Linux has no room for (sethostname(2)) is cut as the kubelet cuts it. */
export function hostName(podName: string): string {
  return podName.slice(0, 63).replace(/[-.]+$/, "");
}

/** hosts of a pod. */
export function hostsFile(podName: string, address: string): string {
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost\n${address} ${hostName(podName)}\n`;
}
