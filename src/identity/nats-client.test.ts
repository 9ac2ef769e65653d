import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSpiffeId } from "./nats-client.ts";

const id = "spiffe://example.org/ns/nginx-mesh/sa/nats-server";

for (const [names, good] of [
  [`URI:${id}`, true],
  [`DNS:nats-server, DNS:nats-server.nginx-mesh.svc, URI:${id}`, true],
  [undefined, false],
  ["", false],
  ["DNS:nats-server", false],
  [`URI:${id}2`, false],
  [`DNS:${id}`, false],
  [`URI:${id}, URI:spiffe://example.org/ns/shop/sa/web`, false],
  [`URI:${id}, URI:${id}`, false],
  [`DNS:"a, URI:${id}, b"`, false],
] as const) {
  test(`${names ?? "no names"}: ${good ? "is" : "is not"} the NATS server`, () => {
    const error = checkSpiffeId({ subjectaltname: names as string }, id);
    assert.equal(error === undefined, good);
    if (error !== undefined) {
      assert.match(error.message, /the NATS server presents .*, not spiffe:/);
    }
  });
}
