import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { probeRequest, type ProbeTarget } from "../../wire/probes.ts";
import { ports } from "../../wire/sidecar.ts";
import { hostHeader, isConfigured, listedProbes, readProbe } from "./probes.ts";

const port = fc.integer({ min: 1, max: 65535 });
const path = fc.webPath().map((text) => `/${text}`.replace(/^\/+/, "/"));
const plain = { noNullPrototype: true } as const;
const target: fc.Arbitrary<ProbeTarget> = fc.oneof(
  fc.record({ kind: fc.constantFrom("http" as const, "https" as const), port, path }, plain),
  fc.record({ kind: fc.constant("tcp" as const), port }, plain),
  fc.record(
    { kind: fc.constant("grpc" as const), port, service: fc.string().map(encodeURIComponent) },
    plain,
  ),
);

test("what the injector writes is read back", () => {
  fc.assert(
    fc.property(target, (each) => {
      const request = probeRequest(each);
      assert.deepEqual(readProbe(request.port, request.path), each);
    }),
  );
});

for (const uri of [
  "",
  "/",
  "8080/x",
  "/8080",
  "/0/x",
  "/65536/x",
  "/8 0/x",
  "/tcp",
  "/tcp/",
  "/tcp/80/",
  "/tcp/x",
  "/grpc/80",
  "/grpc/x/",
  "/udp/80",
]) {
  test(`no probe: "${uri}"`, () => assert.equal(readProbe(ports.httpProbes, uri), undefined));
}

test("TCP and gRPC are asked at port 8895 only", () => {
  assert.equal(readProbe(ports.httpsProbes, "/tcp/80"), undefined);
  assert.equal(readProbe(ports.httpsProbes, "/grpc/80/"), undefined);
});

test("the list of the environment", () => {
  const listed = listedProbes("8895/8080/healthz?a=1 8895/tcp/5432");
  assert.deepEqual(
    [
      "8895/8080/healthz?a=1",
      "8895/tcp/5432",
      "8895/8080/healthz",
      "8895/8080/healthz?a=1 8895/tcp/5432",
    ].map((text) => listed[text] === true),
    [true, true, false, false],
  );
});

test("the configuration lists HTTP and HTTPS probes", () => {
  const probes = [{ scheme: "https", port: 443, path: "/x?y" }] as const;
  assert.equal(isConfigured(probes, { kind: "https", port: 443, path: "/x?y" }), true);
  assert.equal(isConfigured(probes, { kind: "http", port: 443, path: "/x?y" }), false);
  assert.equal(isConfigured(probes, { kind: "https", port: 443, path: "/x" }), false);
  assert.equal(isConfigured(probes, { kind: "tcp", port: 443 }), false);
});

test("Host: the sidecar's port becomes the application's, and nothing else changes", () => {
  assert.equal(hostHeader("10.0.0.1:8895", 8895, 80), "10.0.0.1:80");
  assert.equal(hostHeader("[fd00::1]:8896", 8896, 443), "[fd00::1]:443");
  assert.equal(hostHeader("shop.example", 8895, 80), "shop.example");
  assert.equal(hostHeader("shop.example:8896", 8895, 80), "shop.example:8896");
  assert.equal(hostHeader("", 8895, 80), "");
});
