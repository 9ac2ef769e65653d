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
  const [only, ...others] = target.endpoints;
  return only !== undefined && others.length === 0
    ? `${match} dnat to ${only.address}:${only.port}`
    : `${match} dnat ip addr . port to numgen random mod ${target.endpoints.length} map { ${mapEntries(target)} }`;
}

const natsPort = 4222;
/** Of one pod; a sidecar needs one for each worker, and a moment's second one when it connects again. */
const mostNatsConnections = 64;

/** The whole ruleset of the node as one transaction for `nft -f`. */
export function nodeRules(targets: readonly ServiceTarget[], serviceRange: string): string {
  const refused = targets.filter((target) => target.endpoints.length === 0);
  return `table ip nginx_mesh
delete table ip nginx_mesh
table ip nginx_mesh {
  set nats_clients {
    type ipv4_addr
    size 65535
    flags dynamic
  }
  chain input {
    type filter hook input priority filter; policy accept;
    tcp dport ${natsPort} ct state new add @nats_clients { ip saddr ct count over ${mostNatsConnections} } reject with tcp reset
  }
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
