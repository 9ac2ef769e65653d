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
  workloadMessage,
} from "../../../test/sidecar/messages.ts";
import {
  answer,
  change,
  connect,
  createScene,
  destinationOf,
  settingsKey,
  type Bucket,
  type Scene,
} from "../../../test/sidecar/world.ts";
import { addressKey, serviceKey } from "../../wire/keys.ts";
import * as actions from "./actions.ts";
import type { Destination } from "./mesh.ts";
import { choose, outgoing, outgoingClosed } from "./outgoing.ts";
import { present } from "./settle.ts";

const web = serviceKey("shop", "web");
const v1 = serviceKey("shop", "web-v1");
const v2 = serviceKey("shop", "web-v2");
const webAddress = "10.96.0.10";

function service(name: string, last: number, port = 80): ReturnType<typeof serviceMessage> {
  return serviceMessage(name, [servicePort(port, "http", [endpoint(name, `10.0.1.${last}`)])]);
}

function routed(weights: Readonly<Record<string, number>>): ReturnType<typeof serviceMessage> {
  return serviceMessage("web", [
    servicePort(80, "http", [endpoint("web", "10.0.1.1")], { route: split(80, weights) }),
  ]);
}

/** `web` with two versions behind it. */
function splitBucket(): Bucket {
  return {
    [addressKey(webAddress)]: serviceAddress("web"),
    [web]: routed({ "web-v1": 90, "web-v2": 10 }),
    [v1]: service("web-v1", 2),
    [v2]: service("web-v2", 3),
  };
}

function backends(destination: Destination): (readonly [string, number])[] {
  return destination.rules.flatMap((rule) =>
    rule.backends.map(({ pool, weight }) => [pool.service, weight] as const),
  );
}

function addresses(destination: Destination): string[] {
  return destination.pool.endpoints.map(({ address }) => address);
}

/** Addresses that 200 requests reach. */
function reached({ mesh }: Scene, { id }: Destination): string[] {
  const found = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const chosen = choose(mesh, id, {}, -1, 0);
    found.add(mesh.endpoints[chosen]?.address ?? `${chosen}`);
  }
  return [...found].toSorted();
}

test("a backend that comes with a change of the split is asked for at once", () => {
  const scene = createScene(splitBucket());
  const destination = destinationOf(scene, webAddress, 80);
  const v3 = serviceKey("shop", "web-v3");
  scene.bucket[v3] = service("web-v3", 4);
  const { wakes } = scene.world;
  present(scene.mesh, scene.mesh.keys.byName[web]!, routed({ "web-v1": 50, "web-v3": 50 }), "message");
  assert.deepEqual(scene.mesh.keys.toAsk, [v3]);
  assert.ok(scene.world.wakes > wakes, "whoever asks is told");
  answer(scene.mesh, scene.bucket);
  assert.deepEqual(reached(scene, destination), ["10.0.1.2", "10.0.1.4"]);
});

test("each port of a Service is a destination of its own", () => {
  const scene = createScene({
    [addressKey(webAddress)]: serviceAddress("web"),
    [web]: serviceMessage("web", [
      servicePort(80, "http", [endpoint("web", "10.0.1.1", 8080)]),
      servicePort(90, "grpc", [endpoint("web", "10.0.1.1", 9090)]),
      servicePort(53, "udp", [endpoint("web", "10.0.1.1", 53)]),
    ]),
  });
  const [http, grpc] = [destinationOf(scene, webAddress, 80), destinationOf(scene, webAddress, 90)];
  assert.deepEqual([http.protocol, http.pool.endpoints[0]?.port], ["http", 8080]);
  assert.deepEqual([grpc.protocol, grpc.pool.endpoints[0]?.port], ["grpc", 9090]);
  assert.equal(destinationOf(scene, webAddress, 80), http, "asked again it is the same");
  assert.equal(connect(scene, webAddress, 53).action, actions.refuse);
  assert.equal(http.title, "service shop/web port 80");
});

test("the rules of a split lead to the pools of its backends, without those of weight zero", () => {
  const scene = createScene(splitBucket());
  const destination = destinationOf(scene, webAddress, 80);
  assert.deepEqual(backends(destination), [
    ["shop/web-v1", 90],
    ["shop/web-v2", 10],
  ]);
  assert.equal(destination.rules[0]?.total, 100);
  change(scene.mesh, scene.bucket, web, routed({ "web-v1": 0, "web-v2": 1 }));
  assert.deepEqual(backends(destination), [["shop/web-v2", 1]]);
  assert.deepEqual(reached(scene, destination), ["10.0.1.3"]);
});

test("a connection waits for the keys of all backends", () => {
  const scene = createScene(splitBucket());
  const { mesh, world, bucket } = scene;
  outgoing(mesh, webAddress, 80, 5);
  answer(mesh, {
    [settingsKey]: bucket[settingsKey],
    [addressKey(webAddress)]: serviceAddress("web"),
    [web]: bucket[web],
  });
  world.resumed.length = 0;
  assert.equal(outgoing(mesh, webAddress, 80, 5).action, actions.wait);
  assert.deepEqual(mesh.keys.toAsk, [web]);
  answer(mesh, bucket);
  assert.equal(outgoing(mesh, webAddress, 80, 5).action, actions.wait);
  assert.deepEqual(mesh.keys.toAsk, [v1, v2]);
  answer(mesh, bucket);
  assert.equal(outgoing(mesh, webAddress, 80, 5).action, actions.http);
});

test("while the key of a new backend has not come the old route stays", () => {
  const scene = createScene(splitBucket());
  scene.bucket[web] = routed({ "web-v1": 1 });
  const destination = destinationOf(scene, webAddress, 80);
  const late: Bucket = { ...scene.bucket };
  delete late[v2];
  scene.mesh.keys.complete = false;
  change(scene.mesh, late, web, routed({ "web-v2": 1 }));
  assert.deepEqual(backends(destination), [["shop/web-v1", 1]]);
  change(scene.mesh, late, v2, service("web-v2", 3));
  assert.deepEqual(backends(destination), [["shop/web-v2", 1]]);
});

test("a new backend that does not exist is left out of the new route", () => {
  const scene = createScene(splitBucket());
  const destination = destinationOf(scene, webAddress, 80);
  change(scene.mesh, scene.bucket, web, routed({ "web-v2": 90, "web-v3": 10 }));
  assert.deepEqual(backends(destination), [["shop/web-v2", 90]]);
  change(scene.mesh, scene.bucket, serviceKey("shop", "web-v3"), service("web-v3", 4));
  assert.deepEqual(backends(destination), [
    ["shop/web-v2", 90],
    ["shop/web-v3", 10],
  ]);
});

test("a backend that changes or goes is followed; without backends the root service answers", () => {
  const scene = createScene(splitBucket());
  const destination = destinationOf(scene, webAddress, 80);
  assert.deepEqual(reached(scene, destination), ["10.0.1.2", "10.0.1.3"]);
  change(scene.mesh, scene.bucket, v2, service("web-v2", 33));
  assert.deepEqual(reached(scene, destination), ["10.0.1.2", "10.0.1.33"]);
  change(scene.mesh, scene.bucket, v2, service("web-v2", 33, 81));
  assert.deepEqual(reached(scene, destination), ["10.0.1.2"]);
  change(scene.mesh, scene.bucket, v1, undefined);
  assert.deepEqual(reached(scene, destination), ["10.0.1.1"]);
  assert.deepEqual(destination.rules, []);
  change(scene.mesh, scene.bucket, v1, service("web-v1", 2));
  assert.deepEqual(reached(scene, destination), ["10.0.1.2"]);
});

test("a Service that goes leaves its connections without endpoints, and takes them up when it comes back", () => {
  const scene = createScene(splitBucket());
  const destination = destinationOf(scene, webAddress, 80);
  change(scene.mesh, scene.bucket, web, undefined);
  assert.deepEqual([destination.gone, addresses(destination), destination.rules], [true, [], []]);
  assert.equal(choose(scene.mesh, destination.id, {}, -1, 0), actions.unknown);
  change(scene.mesh, scene.bucket, web, service("web", 1));
  assert.equal(destination.gone, false);
  assert.deepEqual(reached(scene, destination), ["10.0.1.1"]);
  assert.equal(destinationOf(scene, webAddress, 80), destination);
});

test("a port that goes and comes back", () => {
  const scene = createScene({ [addressKey(webAddress)]: serviceAddress("web"), [web]: service("web", 1) });
  const destination = destinationOf(scene, webAddress, 80);
  change(scene.mesh, scene.bucket, web, service("web", 1, 81));
  assert.equal(destination.gone, true);
  assert.equal(connect(scene, webAddress, 80).action, actions.refuse);
  change(scene.mesh, scene.bucket, web, service("web", 5));
  assert.deepEqual(reached(scene, destination), ["10.0.1.5"]);
});

test("a port that changes its protocol: old connections go on, new ones have the new protocol", () => {
  const scene = createScene(splitBucket());
  const withProtocol = (protocol: "http" | "tcp", last: number): unknown =>
    serviceMessage("web", [servicePort(80, protocol, [endpoint("web", `10.0.1.${last}`)])]);
  scene.bucket[web] = withProtocol("http", 1);
  const before = destinationOf(scene, webAddress, 80);
  change(scene.mesh, scene.bucket, web, withProtocol("tcp", 1));
  const { action, destination } = connect(scene, webAddress, 80);
  const after = scene.mesh.destinations[destination]!;
  assert.equal(action, actions.tcp);
  assert.notEqual(after, before);
  for (const last of [2, 3]) {
    change(scene.mesh, scene.bucket, web, withProtocol("tcp", last));
    assert.deepEqual(reached(scene, before), [`10.0.1.${last}`]);
    assert.deepEqual(reached(scene, after), [`10.0.1.${last}`]);
  }
});

test("a backend that is also reached by its own name and another protocol has endpoints both ways", () => {
  const scene = createScene(splitBucket());
  const own = "10.96.0.11";
  const asTcp = (last: number): unknown =>
    serviceMessage("web-v1", [servicePort(80, "tcp", [endpoint("web-v1", `10.0.1.${last}`)])]);
  Object.assign(scene.bucket, {
    [addressKey(own)]: serviceAddress("web-v1"),
    [v1]: asTcp(2),
    [web]: routed({ "web-v1": 1 }),
  });
  const [root, direct] = [destinationOf(scene, webAddress, 80), destinationOf(scene, own, 80)];
  change(scene.mesh, scene.bucket, v1, asTcp(22));
  assert.deepEqual([reached(scene, root), reached(scene, direct)], [["10.0.1.22"], ["10.0.1.22"]]);
  assert.deepEqual([root.protocol, direct.protocol], ["http", "tcp"]);
});

test("a pod's address: its own pool, by what is known of the port", () => {
  const pod = (last: number): unknown =>
    podAddress("db", { name: `db-${last}`, ports: [{ port: 8080, protocol: "http" }] });
  const scene = createScene({ [addressKey("10.0.1.7")]: pod(7) });
  const http = destinationOf(scene, "10.0.1.7", 8080);
  const tcp = destinationOf(scene, "10.0.1.7", 5432);
  assert.deepEqual([http.protocol, tcp.protocol], ["http", "tcp"]);
  assert.equal(http.title, "pod shop/db-7 port 8080");
  change(scene.mesh, scene.bucket, addressKey("10.0.1.7"), pod(8));
  assert.equal(http.pool.endpoints[0]?.pod, "db-8");
  change(scene.mesh, scene.bucket, addressKey("10.0.1.7"), undefined);
  assert.equal(choose(scene.mesh, http.id, {}, -1, 0), actions.unknown);
  change(scene.mesh, scene.bucket, addressKey("10.0.1.7"), pod(9));
  assert.deepEqual(reached(scene, http), ["10.0.1.7"], "connections that are still open go on");
  assert.equal(destinationOf(scene, "10.0.1.7", 8080), http);
  assert.deepEqual([http.pool.endpoints[0]?.pod, http.gone], ["db-9", false]);
});

test("a pod's port that changes its protocol: new connections have the new one", () => {
  const pod = (protocol: "http" | "grpc"): unknown => podAddress("db", { ports: [{ port: 8080, protocol }] });
  const scene = createScene({ [addressKey("10.0.1.7")]: pod("http") });
  const before = destinationOf(scene, "10.0.1.7", 8080);
  change(scene.mesh, scene.bucket, addressKey("10.0.1.7"), pod("grpc"));
  assert.equal(choose(scene.mesh, before.id, {}, -1, 0), actions.unknown);
  assert.equal(connect(scene, "10.0.1.7", 8080).action, actions.grpc);
});

test("a pod's address behind a headless Service follows that Service's route", () => {
  const headless = { namespace: "shop", name: "web", port: 8080 };
  const scene = createScene({
    ...splitBucket(),
    [addressKey("10.0.1.1")]: podAddress("web", { ports: [{ port: 8080, protocol: "http", headless }] }),
    [web]: serviceMessage("web", [
      servicePort(8080, "http", [endpoint("web", "10.0.1.1")], { route: split(80, { "web-v2": 1 }) }),
    ]),
  });
  assert.deepEqual(reached(scene, destinationOf(scene, "10.0.1.1", 8080)), ["10.0.1.3"]);
  assert.equal(destinationOf(scene, "10.0.1.1", 9999).title, "pod shop/web port 9999");
  delete scene.bucket[web];
  const without = createScene(scene.bucket);
  assert.equal(destinationOf(without, "10.0.1.1", 8080).title, "pod shop/web port 8080");
});

test("an address that another kind of thing gets", () => {
  const scene = createScene({ ...splitBucket(), [addressKey("10.0.1.7")]: podAddress("db") });
  const pod = destinationOf(scene, "10.0.1.7", 80);
  change(scene.mesh, scene.bucket, addressKey("10.0.1.7"), serviceAddress("web"));
  assert.equal(pod.gone, true);
  assert.equal(destinationOf(scene, "10.0.1.7", 80).title, "service shop/web port 80");
});

test("own settings change modes and methods of everything at once", () => {
  const scene = createScene({ ...splitBucket(), [addressKey("10.0.1.7")]: podAddress("db") });
  const [routedTo, pod] = [destinationOf(scene, webAddress, 80), destinationOf(scene, "10.0.1.7", 80)];
  change(scene.mesh, scene.bucket, settingsKey, workloadMessage({ mtlsMode: "off", balancing: "random" }));
  const identities = [...scene.world.live.values()].map(({ identity }) => identity);
  assert.ok(identities.length >= 4 && identities.every((identity) => identity === ""), identities.join(" "));
  assert.equal(pod.pool.method, "random");
  assert.equal(routedTo.pool.method, "least_time", "what a Service says itself counts more");
});

test("a port that the pod's sidecar does not see is reached in plain text, and not at all in mode strict", () => {
  const scene = createScene({ [addressKey("10.0.1.7")]: podAddress("db", { plainPorts: [9000, 9001] }) });
  const identityAt = (port: number) => {
    const { pool } = destinationOf(scene, "10.0.1.7", port);
    return pool.endpoints.map((endpoint) => endpoint.identity);
  };
  assert.deepEqual([identityAt(80), identityAt(9001)], [[identityOf("db")], [""]]);
  change(scene.mesh, scene.bucket, settingsKey, workloadMessage({ mtlsMode: "strict" }));
  const plain = destinationOf(scene, "10.0.1.7", 9000);
  assert.equal(choose(scene.mesh, plain.id, {}, -1, 0), actions.noEndpoint);
});

test("mode strict comes and goes: a pod without a sidecar is out of reach in the meantime", () => {
  const key = addressKey("10.0.1.7");
  const scene = createScene({ [key]: podAddress("old", { meshed: false }) });
  const destination = destinationOf(scene, "10.0.1.7", 80);
  change(scene.mesh, scene.bucket, settingsKey, workloadMessage({ mtlsMode: "strict" }));
  assert.equal(choose(scene.mesh, destination.id, {}, -1, 0), actions.noEndpoint);
  change(scene.mesh, scene.bucket, key, podAddress("new", { meshed: false }));
  assert.equal(choose(scene.mesh, destination.id, {}, -1, 0), actions.noEndpoint);
  change(scene.mesh, scene.bucket, settingsKey, workloadMessage({ mtlsMode: "permissive" }));
  assert.deepEqual(reached(scene, destination), ["10.0.1.7"]);
});

test("closing brings the count of connections down again", () => {
  const scene = createScene(splitBucket());
  const destination = destinationOf(scene, webAddress, 80);
  connect(scene, webAddress, 80);
  assert.equal(destination.references, 2);
  outgoingClosed(scene.mesh, destination.id);
  outgoingClosed(scene.mesh, destination.id);
  outgoingClosed(scene.mesh, 4711);
  assert.equal(destination.references, 0);
});
