import assert from "node:assert/strict";
import { isIP, isIPv6 } from "node:net";
import { test } from "node:test";
import { freeNumber, layoutOf, planOf, stateFolder } from "./plan.ts";

test("every address of a plan is one, and within its ranges", () => {
  for (const number of [128, 160, 191]) {
    const plan = planOf(number, 3);
    const addresses = [plan.plane, plan.dns, plan.uplinkHost, plan.uplinkPlane, plan.kubernetesService];
    for (const address of [...addresses, ...plan.nodes.map((node) => node.address)]) {
      assert.equal(isIP(address), 4, address);
      assert.ok(address.startsWith(`10.${number}.`));
    }
    const ranges6 = [plan.range6, plan.podRange6, plan.serviceRange6];
    for (const range of [...ranges6, ...plan.nodes.map((node) => node.podRange6)]) {
      assert.ok(isIPv6(range.replace(/\/\d+$/, "")), range);
    }
    assert.ok(plan.link.length <= 15);
    assert.equal(
      new Set(plan.nodes.flatMap((node) => [node.address, node.podRange, node.podRange6])).size,
      9,
    );
  }
});

const routes = [
  { host: ["default", "192.168.0.0/16"], number: 128 },
  { host: ["10.128.0.0/16"], number: 129 },
  { host: ["10.128.1.0/30", "10.129.4.4"], number: 130 },
  { host: ["10.128.0.0/10"], number: undefined },
  { host: ["10.0.0.0/9", "10.192.0.0/10"], number: 128 },
];

for (const { host, number } of routes) {
  test(`beside routes ${host.join(", ")} the number is ${number}`, () => {
    assert.equal(freeNumber(host), number);
  });
}

test("two checkouts share neither state nor cgroup", () => {
  const one = stateFolder("/one", undefined);
  const other = stateFolder("/other", undefined);
  assert.notEqual(one, other);
  assert.notEqual(layoutOf(one).cgroup, layoutOf(other).cgroup);
  assert.equal(stateFolder("/one", "/given"), "/given");
});
