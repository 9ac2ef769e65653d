import { strict as assert } from "node:assert";
import { test } from "node:test";
import { inspect } from "node:util";
import { Secret } from "./secret.ts";

const secret = new Secret(Buffer.from("hidden"));

const ways = [
  { way: "string", text: `${secret}` },
  { way: "concatenation", text: `key: ${String(secret)}` },
  { way: "JSON", text: JSON.stringify({ secret }) },
  { way: "inspect", text: inspect({ deep: { secret } }, { depth: null, showHidden: true }) },
  { way: "error message", text: new Error(`failed with ${secret}`).message },
];

for (const { way, text } of ways) {
  test(`a secret printed by ${way} is redacted`, () => {
    assert.match(text, /<redacted>/);
    assert.doesNotMatch(text, /hidden|104/);
  });
}

test("a secret gives its bytes when asked for them", () => {
  assert.equal(Buffer.from(secret.reveal()).toString(), "hidden");
});
