import { strict as assert } from "node:assert";
import { test } from "node:test";
import { canonicalAddress, canonicalRange } from "./address.ts";

const cases: readonly [string, string][] = [
  ["10.0.0.1", "10.0.0.1"],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["fd00:10::", "fd000010000000000000000000000000"],
  ["2001:DB8:0:0:8:800:200C:417A", "20010db80000000000080800200c417a"],
  ["::ffff:10.0.0.1", "00000000000000000000ffff0a000001"],
];

for (const [text, canonical] of cases) {
  test(`${text} is ${canonical}`, () => assert.equal(canonicalAddress(text), canonical));
}

test("what is no address throws", () => {
  for (const text of ["", "10.0.0", "10.0.0.256", "g::", "1:2"]) {
    assert.throws(() => canonicalAddress(text), RangeError);
  }
});

test("ranges keep their length", () => {
  assert.equal(canonicalRange("10.96.0.0/16"), "10.96.0.0/16");
  assert.equal(canonicalRange("fd00:10::/112"), "fd000010000000000000000000000000/112");
});
