/** The rules that lead a pod's TCP connections through its sidecar, as text for `iptables-restore`. Pure. */
import { ports, sidecarUser } from "../wire/sidecar.ts";

export interface CaptureOptions {
  /** Ports of the pod that clients reach without the sidecar. */
  readonly ignoreIncomingPorts: readonly number[];
  /** Ports of others that the pod reaches without its sidecar. */
  readonly ignoreOutgoingPorts: readonly number[];
  /** For `ip6tables-restore`. */
  readonly ipv6: boolean;
  /** Addresses, or networks, whose connections reach the pod without the sidecar: of the node, which probes it. */
  readonly exemptSources?: readonly string[];
}

/** Names go to the application itself: a sidecar that waits for a name server that waits for the sidecar ends badly. */
const dnsPort = 53;
/** Ports of the sidecar that others may use directly. */
const openPorts = [ports.status, ports.metrics, ports.httpProbes, ports.httpsProbes];
/** Ports of a rule with the match `multiport`, at most (iptables-extensions(8)). */
const mostPorts = 15;

const outputChain = "NGINX_MESH_OUTPUT";
const preroutingChain = "NGINX_MESH_PREROUTING";

function unique(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** Rules that let connections to these ports alone. */
function returnPorts(chain: string, numbers: readonly number[]): string[] {
  const all = unique(numbers);
  const rules: string[] = [];
  for (let start = 0; start < all.length; start += mostPorts) {
    const part = all.slice(start, start + mostPorts).join(",");
    rules.push(`-A ${chain} -p tcp -m multiport --dports ${part} -j RETURN`);
  }
  return rules;
}

function natTable(options: CaptureOptions): string[] {
  const exempt = options.exemptSources ?? [];
  return [
    "*nat",
    `:${outputChain} - [0:0]`,
    `:${preroutingChain} - [0:0]`,
    `-A OUTPUT -p tcp -j ${outputChain}`,
    `-A PREROUTING -p tcp -j ${preroutingChain}`,
    `-A ${outputChain} -m owner --uid-owner ${sidecarUser} -j RETURN`,
    // the pod's own loopback, and its own address
    `-A ${outputChain} -o lo -j RETURN`,
    ...returnPorts(outputChain, [dnsPort, ...options.ignoreOutgoingPorts]),
    `-A ${outputChain} -p tcp -j REDIRECT --to-ports ${ports.outgoing}`,
    ...exempt.map((source) => `-A ${preroutingChain} -s ${source} -j RETURN`),
    ...returnPorts(preroutingChain, [...openPorts, ...options.ignoreIncomingPorts]),
    `-A ${preroutingChain} -p tcp -j REDIRECT --to-ports ${ports.incoming}`,
    "COMMIT",
  ];
}

/**
 * Only the table nat, whose rules see the first packet of a connection: a rule in the table filter would cost every
 * packet. The sidecar's own ports need none: a connection from outside to one of them is captured like any other, and
 * the sidecar closes it, as it is no port of the application.
 *
 * Input for `iptables-restore --noflush` (or `ip6tables-restore`) in the pod's network namespace. Outgoing
 * connections of all but the sidecar's user go to port 8900, incoming ones to 8901; UDP is not captured.
 */
export function captureRules(options: CaptureOptions): string {
  return `${natTable(options).join("\n")}\n`;
}
