import assert from "node:assert/strict";
import { test } from "node:test";
import {
  endpoint,
  identityOf,
  podAddress,
  serviceAddress,
  serviceMessage,
  servicePort,
  split,
} from "../../../test/sidecar/messages.ts";
import {
  change,
  connect,
  createScene,
  destinationOf,
  ownAddress,
  type Scene,
} from "../../../test/sidecar/world.ts";
import { addressKey, completeKey, serviceKey } from "../../wire/keys.ts";
import { direct } from "./actions.ts";
import { absentAfter, dropUnused, forgetCallers, manyKeys, remembered, unusedAfter } from "./housekeeping.ts";
import { admit, incomingClosed, peer, served } from "./incoming.ts";
import { need } from "./keys.ts";
import { outgoingClosed } from "./outgoing.ts";

const web = serviceKey("shop", "web");
const backend = serviceKey("shop", "web-v1");

function root(route: boolean): ReturnType<typeof serviceMessage> {
  const changes = route ? { route: split(80, { "web-v1": 1 }) } : {};
  return serviceMessage("web", [servicePort(80, "http", [endpoint("web", "10.0.1.1")], changes)]);
}

function used(): Scene & { readonly destination: number } {
  const scene = createScene({
    [addressKey("10.96.0.10")]: serviceAddress("web"),
    [web]: root(true),
    [backend]: serviceMessage("web-v1", [servicePort(80, "http", [endpoint("web-v1", "10.0.1.2")])]),
    [addressKey("10.0.1.9")]: podAddress("db"),
  });
  return { ...scene, destination: destinationOf(scene, "10.96.0.10", 80).id };
}

function later({ world, mesh }: Scene): string[] {
  world.time += unusedAfter + 1;
  return dropUnused(mesh, world.time).toSorted();
}

test("what is in use stays, with all that it leads to", () => {
  const scene = used();
  assert.deepEqual(
    later(scene),
    [addressKey("10.96.0.10")],
    "only the address, which the next connection asks for",
  );
  assert.equal(scene.world.live.size, 2);
  assert.equal(scene.mesh.destinations[scene.destination]?.pool.endpoints.length, 1);
});

test("long unused and without connections everything goes, own settings and the marker stay", () => {
  const scene = used();
  outgoingClosed(scene.mesh, scene.destination);
  later(scene);
  later(scene);
  const { mesh, world } = scene;
  assert.deepEqual(Object.keys(mesh.keys.byName).toSorted(), [completeKey, mesh.settingsKey].toSorted());
  assert.equal(mesh.keys.count, 2);
  assert.deepEqual([mesh.destinations, mesh.byTarget, mesh.pools, mesh.endpoints], [{}, {}, {}, {}]);
  assert.equal(world.live.size, 0);
  assert.ok(mesh.statistics.edges.every(({ references }) => references === 0));
  assert.equal(
    destinationOf(scene, "10.96.0.10", 80).pool.endpoints.length,
    1,
    "and it comes back when it is used",
  );
});

test("a backend that no route leads to any more goes, with its endpoints", () => {
  const scene = used();
  change(scene.mesh, scene.bucket, web, root(false));
  assert.ok(later(scene).includes(backend));
  assert.deepEqual(
    [...scene.world.live.values()].map(({ address }) => address),
    ["10.0.1.1"],
  );
});

test("nothing goes before its time, nor while a connection waits for it", () => {
  const scene = used();
  const { mesh, world } = scene;
  outgoingClosed(mesh, scene.destination);
  world.time += unusedAfter;
  assert.deepEqual(dropUnused(mesh, world.time), []);
  const waited = need(mesh.keys, addressKey("10.0.1.77"), 3, world.time, false);
  assert.equal(later(scene).includes(waited.name), false);
});

test("what the bucket does not have goes sooner, and everything does when there is very much", () => {
  const scene = used();
  const { mesh, world } = scene;
  assert.equal(connect(scene, "192.0.2.1", 443).action, direct);
  world.time += absentAfter;
  assert.deepEqual(dropUnused(mesh, world.time), []);
  world.time += 1;
  assert.deepEqual(dropUnused(mesh, world.time), [addressKey("192.0.2.1")]);
  for (let i = 0; i < manyKeys; i++) {
    connect(scene, `192.0.${Math.floor(i / 250)}.${i % 250}`, 443);
  }
  world.time += 11;
  assert.equal(
    dropUnused(mesh, world.time).length,
    manyKeys + 1,
    "and the address of the Service, but nothing in use",
  );
  assert.deepEqual(
    Object.keys(mesh.keys.byName).toSorted(),
    [backend, completeKey, mesh.settingsKey, web].toSorted(),
  );
});

test("callers above the limit go when they have no connections, and the endpoints that only they had", () => {
  const scene = createScene({});
  const { mesh, world } = scene;
  const ids = Array.from({ length: 10 }, (_, i) => peer(mesh, ownAddress, 80 + i, identityOf("web")));
  forgetCallers(mesh, 0);
  assert.equal(Object.keys(mesh.callers).length, 10, "all have connections");
  ids.slice(2).forEach((id) => incomingClosed(mesh, id));
  forgetCallers(mesh, 10);
  assert.equal(Object.keys(mesh.callers).length, 10, "no more than the limit");
  forgetCallers(mesh, 5);
  assert.equal(Object.keys(mesh.callers).length, 5);
  assert.equal(Object.keys(mesh.callerOf).length, 5);
  assert.equal(world.live.size, 5);
  forgetCallers(mesh, 0);
  assert.deepEqual(Object.keys(mesh.callers).map(Number), ids.slice(0, 2));
  assert.deepEqual(
    [...world.live.values()].map(({ port }) => port),
    [80, 81],
  );
  assert.ok(mesh.statistics.edges.filter(({ references }) => references > 0).length === 2);
  assert.notEqual(peer(mesh, ownAddress, 85, identityOf("web")), -1, "and it comes back when it is used");
});

test("a client that tries every port leaves a bounded number of callers, edges and endpoints", () => {
  const { mesh, world } = createScene({});
  const open = peer(mesh, ownAddress, 80, identityOf("web"));
  for (let port = 10_000; port < 20_000; port++) {
    const caller = peer(mesh, ownAddress, port, identityOf("web"));
    assert.equal(world.live.has(admit(mesh, caller)), true, `${port}`);
    served(mesh, caller, 200, 1, 1, 1);
    incomingClosed(mesh, caller);
  }
  const { length } = mesh.statistics.edges;
  for (const count of [length, Object.keys(mesh.callers).length, world.live.size]) {
    assert.ok(count <= 2 * remembered + 1, `${count}`);
  }
  assert.equal(mesh.callers[open]?.references, 1);
});

test("what is not needed any more need not be asked for either", () => {
  const { mesh, world } = createScene({});
  const waited = need(mesh.keys, addressKey("10.0.1.77"), 3, world.time, false);
  for (let i = 0; i < 100; i++) {
    need(mesh.keys, addressKey(`192.0.2.${i}`), -1, world.time, false);
  }
  world.time += absentAfter + 1;
  dropUnused(mesh, world.time);
  assert.deepEqual(mesh.keys.toAsk, [waited.name]);
});
