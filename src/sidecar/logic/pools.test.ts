import assert from "node:assert/strict";
import { test } from "node:test";
import { endpoint, identityOf, workloadMessage } from "../../../test/sidecar/messages.ts";
import { createScene, type Scene } from "../../../test/sidecar/world.ts";
import type { LbMethod, MtlsMode } from "../../wire/messages.ts";
import { refused } from "./balancer.ts";
import type { MeshPool } from "./mesh.ts";
import { dropPools, emptyPool, fillPool, findPool } from "./pools.ts";

const options = { title: "service shop/web port 80", service: "shop/web", protocol: "http" } as const;
const a = endpoint("web", "10.0.0.11");
const b = endpoint("web", "10.0.0.12");
const c = endpoint("web", "10.0.0.13");

function filled(mode: MtlsMode = "permissive"): Scene & { readonly pool: MeshPool } {
  const scene = createScene({});
  scene.mesh.settings = workloadMessage({ mtlsMode: mode });
  const pool = findPool(scene.mesh, "service.shop.web 80", options);
  fillPool(scene.mesh, pool, [a, b], "least_conn");
  return { ...scene, pool };
}

function addresses(pool: MeshPool): string[] {
  return pool.endpoints.map(({ address }) => address);
}

test("endpoints that stay keep their state, others go and are released", () => {
  const { world, mesh, pool } = filled();
  const [first, second] = pool.endpoints;
  Object.assign(second!, { inFlight: 3, average: 1234, failures: 2 });
  pool.ailing = 1;
  fillPool(mesh, pool, [b, c], "least_conn");
  assert.deepEqual(addresses(pool), ["10.0.0.12", "10.0.0.13"]);
  assert.equal(pool.endpoints[0], second);
  assert.deepEqual([second!.inFlight, second!.average, pool.ailing], [3, 1234, 1]);
  assert.deepEqual([...world.live.keys()].toSorted(), pool.endpoints.map(({ id }) => id).toSorted());
  assert.equal(mesh.endpoints[first!.id], undefined);
  assert.deepEqual([first!.edge.references, second!.edge.references], [0, 1]);
});

test("the order of the endpoints is that of the configuration", () => {
  const { mesh, pool } = filled();
  fillPool(mesh, pool, [b, c, a], undefined);
  assert.deepEqual(addresses(pool), ["10.0.0.12", "10.0.0.13", "10.0.0.11"]);
  assert.equal(mesh.statistics.edges.length, 3);
});

test("a change of a large Service costs no look at every endpoint for each", () => {
  const { mesh, pool } = filled("off");
  const many = Array.from({ length: 1000 }, (_, i) => endpoint("web", `10.0.${i >> 8}.${i & 255}`));
  fillPool(mesh, pool, many, undefined);
  let looks = 0;
  for (const each of pool.endpoints) {
    const { address } = each;
    Object.defineProperty(each, "address", { get: () => ((looks += 1), address) });
  }
  const before = [...pool.endpoints];
  fillPool(mesh, pool, [...many.slice(3, 500), ...many.slice(501), many[1]!], undefined);
  assert.deepEqual(pool.endpoints, [...before.slice(3, 500), ...before.slice(501), before[1]]);
  assert.ok(looks < 2 * many.length, `${looks} looks`);
});

test("what is set aside is counted anew when it goes", () => {
  const { mesh, pool } = filled();
  refused(pool, pool.endpoints[0]!, 0);
  assert.equal(pool.ailing, 1);
  fillPool(mesh, pool, [b], "least_conn");
  assert.equal(pool.ailing, 0);
});

for (const [title, changed] of [
  ["identity", { ...a, identity: identityOf("other") }],
  ["port", { ...a, port: 9090 }],
  ["pod behind the address", { ...a, pod: "web-new" }],
] as const) {
  test(`another ${title} makes a new endpoint and releases the old one`, () => {
    const { world, mesh, pool } = filled();
    const before = pool.endpoints[0]!;
    before.inFlight = 2;
    fillPool(mesh, pool, [changed, b], "least_conn");
    const after = pool.endpoints[0]!;
    assert.notEqual(after.id, before.id);
    assert.equal(after.inFlight, 0);
    assert.equal(world.live.has(before.id), false);
    assert.deepEqual(world.live.get(after.id), {
      address: changed.address,
      port: changed.port,
      identity: changed.identity,
    });
  });
}

test("in mode off nothing is asked to prove its identity, and a change of mode makes new endpoints", () => {
  const { world, mesh, pool } = filled("off");
  const identities = (): string[] => [...world.live.values()].map(({ identity }) => identity);
  assert.deepEqual(identities(), ["", ""]);
  assert.deepEqual(
    pool.endpoints.map(({ edge }) => edge.mtls),
    [false, false],
  );
  mesh.settings = workloadMessage({ mtlsMode: "permissive" });
  fillPool(mesh, pool, [a, b], "least_conn");
  assert.deepEqual(identities(), [identityOf("web"), identityOf("web")]);
  assert.deepEqual(
    pool.endpoints.map(({ edge }) => edge.mtls),
    [true, true],
  );
});

test("the pod itself, behind its own Service, is reached in plain text: nothing would end TLS there", () => {
  const { mesh } = filled();
  const pool = findPool(mesh, "service.shop.own 80", options);
  fillPool(mesh, pool, [a, { ...b, address: mesh.ownAddress }], undefined);
  assert.deepEqual(
    pool.endpoints.map(({ identity }) => identity),
    [a.identity, ""],
  );
});

test("in mode strict endpoints without a sidecar are left out, also those that were there before", () => {
  const { mesh, pool } = filled();
  const plain = endpoint("old", "10.0.0.14", 8080, "");
  fillPool(mesh, pool, [a, plain], undefined);
  assert.deepEqual(addresses(pool), ["10.0.0.11", "10.0.0.14"]);
  mesh.settings = workloadMessage({ mtlsMode: "strict" });
  fillPool(mesh, pool, [a, plain], undefined);
  assert.deepEqual(addresses(pool), ["10.0.0.11"]);
});

test("an address that is none is left out with a message", () => {
  const { world, mesh, pool } = filled();
  fillPool(mesh, pool, [a, { ...b, address: "nonsense" }], "least_conn");
  assert.deepEqual(addresses(pool), ["10.0.0.11"]);
  assert.match(world.logged.join(), /^error: service shop\/web port 80: endpoint "nonsense" left out/);
});

test("the method is that of the port, else that of the pod, else least_time", () => {
  const { mesh, pool } = filled();
  assert.equal(pool.method, "least_conn");
  mesh.settings = workloadMessage({ balancing: "random" });
  fillPool(mesh, pool, [a], undefined);
  assert.equal(pool.method, "random");
  mesh.settings = undefined;
  fillPool(mesh, pool, [a], undefined);
  assert.equal(pool.method, "least_time");
});

test("which methods look at the last byte", () => {
  const { mesh, pool } = filled();
  const methods: readonly (readonly [LbMethod, boolean])[] = [
    ["least_time", false],
    ["least_time last_byte", true],
    ["least_time last_byte inflight", true],
    ["random two least_time", false],
    ["random two least_time=last_byte", true],
    ["round_robin", false],
  ];
  for (const [method, expected] of methods) {
    fillPool(mesh, pool, [a], method);
    assert.equal(pool.lastByte, expected, method);
  }
});

test("each protocol of a target has its own pool; all of a key's pools go together", () => {
  const { world, mesh, pool } = filled();
  const tcp = findPool(mesh, "service.shop.web 80", { ...options, protocol: "tcp" });
  const other = findPool(mesh, "service.shop.web2 80", options);
  fillPool(mesh, tcp, [a], undefined);
  fillPool(mesh, other, [c], undefined);
  assert.notEqual(tcp, pool);
  assert.equal(pool.endpoints.length, 2);
  assert.equal(findPool(mesh, "service.shop.web 80", options), pool);
  dropPools(mesh, "service.shop.web");
  assert.deepEqual(
    [...world.live.values()].map(({ address }) => address),
    ["10.0.0.13"],
  );
  assert.deepEqual(Object.values(mesh.pools), [other]);
  emptyPool(mesh, other);
  assert.equal(world.live.size, 0);
});
