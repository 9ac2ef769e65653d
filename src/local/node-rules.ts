/** Service addresses for everything that is not captured: unmeshed pods, ignored ports, and clients on the host. */

export interface ServiceTarget {
  /** Cluster address. */
  readonly address: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
}

function mapEntries(target: ServiceTarget): string {
  return target.endpoints.map((endpoint, i) => `${i} : ${endpoint.address} . ${endpoint.port}`).join(", ");
}

function rule(target: ServiceTarget): string {
  const match = `ip daddr ${target.address} ${target.protocol} dport ${target.port}`;
  const [only] = target.endpoints;
  if (only === undefined) {
    return `${match} counter`;
  }
  return target.endpoints.length === 1
    ? `${match} dnat to ${only.address}:${only.port}`
    : `${match} dnat ip addr . port to numgen random mod ${target.endpoints.length} map { ${mapEntries(target)} }`;
}

/** The whole ruleset of the node as one transaction for `nft -f`. */
export function nodeRules(targets: readonly ServiceTarget[], serviceRange: string): string {
  const refused = targets.filter((target) => target.endpoints.length === 0);
  return `table ip nginx_mesh
delete table ip nginx_mesh
table ip nginx_mesh {
  chain services {
${targets
  .filter((target) => target.endpoints.length > 0)
  .map((target) => `    ${rule(target)}\n`)
  .join("")}  }
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
${refused.map((target) => `    ip daddr ${target.address} ${target.protocol} dport ${target.port} reject\n`).join("")}    ip daddr ${serviceRange} reject
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "uplink" masquerade
  }
}
`;
}
