/** Service addresses for everything that is not captured: unmeshed pods, ignored ports, and clients on the host. Pure. */

export interface ServiceTarget {
  /** Cluster address. */
  readonly address: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
}

function rule(target: ServiceTarget): string {
  const match = `ip daddr ${target.address} ${target.protocol} dport ${target.port}`;
  const [only, ...others] = target.endpoints;
  if (only === undefined) {
    return "";
  }
  if (others.length === 0) {
    return `    ${match} dnat to ${only.address}:${only.port}\n`;
  }
  const entries = target.endpoints.map(({ address, port }, i) => `${i} : ${address} . ${port}`).join(", ");
  return `    ${match} dnat ip addr . port to numgen random mod ${target.endpoints.length} map { ${entries} }\n`;
}

/** Pods that may be sent back to themselves: such a packet needs another source, or the pod would not take it. */
function hairpins(targets: readonly ServiceTarget[]): string {
  const addresses = [...new Set(targets.flatMap(({ endpoints }) => endpoints.map(({ address }) => address)))];
  const pairs = addresses.sort().map((address) => `${address} . ${address}`);
  return pairs.length === 0 ? "" : `    ip saddr . ip daddr { ${pairs.join(", ")} } masquerade\n`;
}

export interface NodeAddresses {
  readonly serviceRange: string;
  /** Of pods that send TCP to each other past the node. */
  readonly capturedRange: string;
  /** The node's own, in that range: the source of connections that it translates for such a pod. */
  readonly translator: string;
}

/**
 * The whole ruleset of the node as one transaction for `nft -f`; `uplink` is the link to the host. A captured pod reaches
 * Services by the node too, as name servers over TCP; it gets another source, or the answer would pass the node by.
 */
export function nodeRules(targets: readonly ServiceTarget[], addresses: NodeAddresses): string {
  const { serviceRange, capturedRange, translator } = addresses;
  return `table ip nginx_mesh
delete table ip nginx_mesh
table ip nginx_mesh {
  chain services {
${targets.map(rule).join("")}  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump services
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump services
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip daddr ${serviceRange} meta l4proto tcp reject with tcp reset
    ip daddr ${serviceRange} reject
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
${hairpins(targets)}    ip saddr ${capturedRange} meta l4proto tcp ct status dnat snat to ${translator}
    oifname "uplink" masquerade
  }
}
`;
}
