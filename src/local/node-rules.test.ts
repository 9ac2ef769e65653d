import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeRules } from "./node-rules.ts";

const addresses = {
  serviceRange: "10.64.128.0/17",
  capturedRange: "10.64.0.0/18",
  translator: "10.64.0.2",
};

test("the rules of a Service with two endpoints, one with one, and one without", () => {
  const one = { address: "10.64.1.1", port: 8080 };
  const two = { address: "10.64.1.2", port: 8080 };
  const rules = nodeRules(
    [
      { address: "10.64.128.10", port: 80, protocol: "tcp", endpoints: [one, two] },
      { address: "10.64.128.11", port: 53, protocol: "udp", endpoints: [{ ...one, port: 5353 }] },
      { address: "10.64.128.12", port: 80, protocol: "tcp", endpoints: [] },
    ],
    addresses,
  );
  assert.equal(
    rules,
    `table ip nginx_mesh
delete table ip nginx_mesh
table ip nginx_mesh {
  chain services {
    ip daddr 10.64.128.10 tcp dport 80 dnat ip addr . port to numgen random mod 2 map { 0 : 10.64.1.1 . 8080, 1 : 10.64.1.2 . 8080 }
    ip daddr 10.64.128.11 udp dport 53 dnat to 10.64.1.1:5353
  }
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
    ip daddr 10.64.128.0/17 meta l4proto tcp reject with tcp reset
    ip daddr 10.64.128.0/17 reject
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr . ip daddr { 10.64.1.1 . 10.64.1.1, 10.64.1.2 . 10.64.1.2 } masquerade
    ip saddr 10.64.0.0/18 meta l4proto tcp ct status dnat snat to 10.64.0.2
    oifname "uplink" masquerade
  }
}
`,
  );
});

test("without Services there are no empty sets, which nft refuses", () => {
  assert.doesNotMatch(nodeRules([], addresses), /\{ \}/);
});
