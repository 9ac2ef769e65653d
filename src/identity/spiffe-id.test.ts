import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { formatSpiffeId, parseSpiffeId, parseTrustDomain, SpiffeIdError } from "./spiffe-id.ts";

const valid = [
  { text: "spiffe://example.org", trustDomain: "example.org", segments: [] },
  { text: "spiffe://example.org/ns/a/sa/b", trustDomain: "example.org", segments: ["ns", "a", "sa", "b"] },
  { text: "spiffe://a_b-c.1/Path.With-All_Kinds", trustDomain: "a_b-c.1", segments: ["Path.With-All_Kinds"] },
  { text: "spiffe://x/...", trustDomain: "x", segments: ["..."] },
];

for (const { text, trustDomain, segments } of valid) {
  test(`${text} is read`, () => {
    assert.deepEqual(parseSpiffeId(text), { trustDomain, segments });
  });
}

const invalid = [
  { text: "", reason: /starts with/ },
  { text: "https://example.org/a", reason: /starts with/ },
  { text: "SPIFFE://example.org/a", reason: /starts with/ },
  { text: "spiffe:/example.org/a", reason: /starts with/ },
  { text: "spiffe:///a", reason: /empty/ },
  { text: "spiffe://Example.org/a", reason: /lower-case/ },
  { text: "spiffe://example.org:80/a", reason: /lower-case/ },
  { text: "spiffe://user@example.org/a", reason: /lower-case/ },
  { text: "spiffe://exämple.org/a", reason: /lower-case/ },
  { text: "spiffe://example.org/", reason: /empty segment/ },
  { text: "spiffe://example.org/a/", reason: /empty segment/ },
  { text: "spiffe://example.org//a", reason: /empty segment/ },
  { text: "spiffe://example.org/./a", reason: /relative/ },
  { text: "spiffe://example.org/a/..", reason: /relative/ },
  { text: "spiffe://example.org/a%20b", reason: /only letters/ },
  { text: "spiffe://example.org/a?b=c", reason: /only letters/ },
  { text: "spiffe://example.org/a#b", reason: /only letters/ },
  { text: "spiffe://example.org/a\n", reason: /only letters/ },
  { text: "spiffe://example.org\n/a", reason: /lower-case/ },
  { text: `spiffe://${"a".repeat(256)}/a`, reason: /255/ },
  { text: `spiffe://a/${"a".repeat(2048)}`, reason: /2048/ },
];

for (const { text, reason } of invalid) {
  test(`${JSON.stringify(text.slice(0, 60))} is refused`, () => {
    assert.throws(
      () => parseSpiffeId(text),
      (error: Error) => error instanceof SpiffeIdError && reason.test(error.message),
    );
  });
}

test("the longest allowed ID and trust domain are read", () => {
  const text = `spiffe://${"a".repeat(255)}/`;
  parseSpiffeId(text + "b".repeat(2048 - text.length));
});

const trustDomains = fc.stringMatching(/^[a-z0-9._-]{1,40}$/);
const segments = fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/).filter((text) => text !== "." && text !== "..");

test("reading undoes writing", () => {
  fc.assert(
    fc.property(trustDomains, fc.array(segments, { maxLength: 8 }), (trustDomain, path) => {
      const id = { trustDomain, segments: path };
      assert.deepEqual(parseSpiffeId(formatSpiffeId(id)), id);
    }),
  );
});

/** Text that is often nearly a SPIFFE ID. */
const nearly = fc
  .array(fc.oneof(fc.constantFrom("spiffe://", "/", ".", "..", "%2e", "a", "example.org"), fc.string()))
  .map((parts) => parts.join(""));

test("whatever the text, it is read as itself or refused with a SpiffeIdError", () => {
  fc.assert(
    fc.property(fc.oneof(nearly, fc.string({ unit: "binary" })), (text) => {
      try {
        assert.equal(formatSpiffeId(parseSpiffeId(text)), text);
      } catch (error) {
        assert.ok(error instanceof SpiffeIdError, String(error));
      }
    }),
  );
});

test("a trust domain name is not an ID", () => {
  assert.throws(() => parseTrustDomain("spiffe://example.org"), SpiffeIdError);
  assert.equal(parseTrustDomain("example.org"), "example.org");
});
