import assert from "node:assert/strict";
import { test } from "node:test";
import { addressPlan, freePlan, isCaptured, podAddresses, serviceAddresses } from "./addresses.ts";

test("a mesh takes the first range that overlaps no route of the host", () => {
  const cases: readonly [readonly string[], number | undefined][] = [
    [[], 64],
    [["default", "192.0.2.0/24", "fe80::/64"], 64],
    [["10.64.127.252/30", "10.65.3.4"], 66],
    [["10.64.0.0/15"], 66],
    [["10.0.0.0/8"], undefined],
    [["0.0.0.0/1"], undefined],
    [["10.96.0.0/12", "10.64.0.0/11"], 112],
  ];
  for (const [routes, expected] of cases) {
    assert.equal(freePlan(routes)?.number, expected, routes.join(" "));
  }
});

test("a pod's address that was given back is the last to be used again", () => {
  const pool = podAddresses(addressPlan(64));
  const first = pool.take(false);
  pool.give(first);
  const seen = new Set<string>();
  for (let i = 0; i < 15_000; i += 1) {
    seen.add(pool.take(false));
  }
  assert.equal(seen.size, 15_000, "no address twice");
  assert.ok(!seen.has(first));
  assert.ok(![...seen].some((address) => address.endsWith(".255") || !address.startsWith("10.64.")));
});

test("pods whose Services the node translates are outside the range that pods reach without the node", () => {
  const plan = addressPlan(64);
  const pool = podAddresses(plan);
  assert.equal(plan.capturedRange, "10.64.0.0/18");
  for (let i = 0; i < 15_000; i += 1) {
    const [captured, translated] = [pool.take(false), pool.take(true)];
    assert.ok(Number(captured.split(".")[2]) < 64 && isCaptured(plan, captured), captured);
    assert.ok(Number(translated.split(".")[2]) >= 64 && !isCaptured(plan, translated), translated);
  }
});

test("a Service keeps its address, and gets the one that it asks for, which no other gets", () => {
  const addressOf = serviceAddresses(addressPlan(64));
  const nobody = new Set<string>();
  const web = addressOf("shop/web", undefined, nobody);
  assert.match(web, /^10\.64\.128\./);
  const wanted = new Set([web, "10.64.128.11", "10.64.128.12"]);
  const cart = addressOf("shop/cart", undefined, wanted);
  assert.ok(!wanted.has(cart), cart);
  assert.equal(addressOf("shop/web", undefined, wanted), web);
  assert.equal(addressOf("shop/cart", undefined, nobody), cart);
  assert.equal(addressOf("shop/fixed", "10.64.128.11", wanted), "10.64.128.11");
  assert.match(addressOf("shop/six", "fd00::10", nobody), /^10\.64\.128\./, "the node has no IPv6");
});
