import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { certificatesToPem, concatenateDer, splitDer } from "./der.ts";

/** A DER sequence of that many bytes of content. */
function sequence(content: number): Uint8Array {
  const length =
    content < 0x80
      ? [content]
      : content < 0x100
        ? [0x81, content]
        : [0x82, Math.floor(content / 256), content % 256];
  return Uint8Array.from([0x30, ...length, ...new Uint8Array(content).fill(0x30)]);
}

const sequences = fc.array(fc.integer({ min: 0, max: 2000 }).map(sequence), { maxLength: 6 });

test("splitting undoes concatenating", () => {
  fc.assert(
    fc.property(sequences, (list) => {
      assert.deepEqual(splitDer(concatenateDer(list)).map(Buffer.from), list.map(Buffer.from));
    }),
  );
});

test("whatever the bytes, they are split or refused with a RangeError", () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), sequences.map(concatenateDer)), fc.nat(8), (bytes, cut) => {
      const input = bytes.slice(0, Math.max(0, bytes.length - cut));
      try {
        assert.deepEqual(Buffer.from(concatenateDer(splitDer(input))), Buffer.from(input));
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
  );
});

test("PEM lines have 64 characters", () => {
  const pem = certificatesToPem([new Uint8Array(60), new Uint8Array(3)]);
  assert.equal(
    pem,
    `-----BEGIN CERTIFICATE-----\n${"A".repeat(64)}\n${"A".repeat(16)}\n-----END CERTIFICATE-----\n` +
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  );
});
