import assert from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalAddress } from "../../model/address.ts";
import { addressBytes, addressInUrl, canonicalText, inRange } from "./address.ts";

const byte = fc.nat(255);
const v4 = fc.tuple(byte, byte, byte, byte);
const v6 = fc.array(byte, { minLength: 16, maxLength: 16 });

function hexadecimal(bytes: readonly number[]): string {
  return bytes.map((value) => value.toString(16).padStart(2, "0")).join("");
}

function colons(bytes: readonly number[]): string {
  return (hexadecimal(bytes).match(/..../g) ?? []).join(":");
}

test("the bytes of canonical text", () => {
  fc.assert(fc.property(v4, (bytes) => assert.deepEqual(addressBytes(bytes.join(".")), bytes)));
  fc.assert(fc.property(v6, (bytes) => assert.deepEqual(addressBytes(hexadecimal(bytes)), bytes)));
  fc.assert(
    fc.property(v6, (bytes) => assert.deepEqual(addressBytes(canonicalAddress(colons(bytes))), bytes)),
  );
});

test("what is no canonical address has no bytes", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.2.3.-4",
    "1.2.3.4 ",
    "1.2.3.",
    "...",
    "0x1.2.3.4",
    "1e1.2.3.4",
    "0001.2.3.4",
    "::1",
    "fd00::1",
    "g".repeat(32),
    "A".repeat(32),
    "a".repeat(31),
    "a".repeat(33),
  ]) {
    assert.deepEqual(addressBytes(text), [], text);
  }
});

test("ranges agree with Node's block lists, IPv4 and IPv6", () => {
  const near = (bytes: readonly number[], other: readonly number[], same: number): number[] =>
    bytes.map((value, i) => (i < same ? value : other[i]!));
  fc.assert(
    fc.property(v4, v4, fc.nat(4), fc.nat(32), (base, other, same, bits) => {
      const address = near(base, other, same).join(".");
      const list = new BlockList();
      list.addSubnet(base.join("."), bits, "ipv4");
      assert.equal(inRange(address, `${base.join(".")}/${bits}`), list.check(address, "ipv4"));
    }),
  );
  fc.assert(
    fc.property(v6, v6, fc.nat(16), fc.nat(128), (base, other, same, bits) => {
      const address = near(base, other, same);
      const list = new BlockList();
      list.addSubnet(colons(base), bits, "ipv6");
      assert.equal(
        inRange(hexadecimal(address), `${hexadecimal(base)}/${bits}`),
        list.check(colons(address), "ipv6"),
      );
    }),
  );
});

test("a range that cannot be read holds nothing", () => {
  for (const range of [
    "",
    "/",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.1/33",
    "10.0.0.0/-1",
    "10.0.0.0/x",
    "10.0.0/8",
    "/8",
  ]) {
    assert.equal(inRange("10.0.0.1", range), false, range);
  }
  assert.equal(inRange("10.0.0.1", `${"0".repeat(32)}/0`), false, "an IPv6 range holds no IPv4 address");
  assert.equal(inRange("0".repeat(32), "0.0.0.0/0"), false, "an IPv4 range holds no IPv6 address");
  assert.equal(inRange("nonsense", "0.0.0.0/0"), false);
  assert.equal(inRange("1.2.3.4", "0.0.0.0/0"), true);
});

/** An IPv6 address as people may write it: zeros left out, short groups, IPv4 at the end. */
const written = fc
  .tuple(
    fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 }),
    fc.nat(7),
    fc.nat(8),
    v4,
    fc.boolean(),
  )
  .map(([groups, start, count, tail, dotted]) => {
    const texts = groups.map((group) => group.toString(16));
    const parts = dotted ? [...texts.slice(0, 6), tail.join(".")] : texts;
    if (count === 0 || start + count > parts.length) {
      return parts.join(":");
    }
    return `${parts.slice(0, start).join(":")}::${parts.slice(start + count).join(":")}`;
  });

test("an address as people write it has the same canonical text as in the control plane", () => {
  fc.assert(fc.property(written, (text) => assert.equal(canonicalText(text), canonicalAddress(text))));
  fc.assert(fc.property(v4, (bytes) => assert.equal(canonicalText(bytes.join(".")), bytes.join("."))));
  assert.equal(canonicalText("FD00::1"), canonicalAddress("fd00::1"));
  for (const text of [
    "",
    "x",
    "nats.example",
    "1.2.3",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "fd00::g",
    "12345::",
    "::1.2.3",
    "fd000000000000000000000000000001",
  ]) {
    assert.equal(canonicalText(text), undefined, text);
  }
});

test("in a URL an IPv6 address has brackets", () => {
  assert.equal(addressInUrl("10.0.0.1"), "10.0.0.1");
  fc.assert(fc.property(v6, (bytes) => assert.equal(addressInUrl(hexadecimal(bytes)), `[${colons(bytes)}]`)));
});
