import assert from "node:assert/strict";
import { test } from "node:test";
import {
  endpoint,
  podAddress,
  serviceAddress,
  serviceMessage,
  servicePort,
  split,
} from "../../../test/sidecar/messages.ts";
import {
  answer,
  change,
  connect,
  createScene,
  destinationOf,
  ownAddress,
  type Bucket,
  type Scene,
} from "../../../test/sidecar/world.ts";
import { addressKey, serviceKey } from "../../wire/keys.ts";
import type { Endpoint, LbMethod, MtlsMode, Protocol, Route } from "../../wire/messages.ts";
import * as actions from "./actions.ts";
import { choose, failed, finished, outgoing, reason } from "./outgoing.ts";
import { giveUp } from "./settle.ts";

const v6 = "fd000000000000000000000000000009";

function service(name: string, address: string, port: number, protocol: Protocol, meshed: boolean): Bucket {
  const identity = meshed ? undefined : "";
  return {
    [addressKey(address)]: serviceAddress(name),
    [serviceKey("shop", name)]: serviceMessage(name, [
      servicePort(port, protocol, [endpoint(name, `10.0.2.${port % 250}`, 8080, identity)]),
    ]),
  };
}

const cluster: Bucket = {
  ...service("web", "10.96.0.10", 80, "http", true),
  ...service("api", "10.96.0.11", 81, "grpc", true),
  ...service("db", "10.96.0.12", 82, "tcp", true),
  ...service("old-web", "10.96.0.13", 83, "http", false),
  ...service("old-db", "10.96.0.14", 84, "tcp", false),
  ...service("web6", v6, 85, "http", true),
  [addressKey("10.96.0.20")]: serviceAddress("not-there"),
  [addressKey("10.0.1.1")]: podAddress("web", { ports: [{ port: 8080, protocol: "http" }] }),
  [addressKey("10.0.1.2")]: podAddress("old", { meshed: false, ports: [{ port: 8080, protocol: "grpc" }] }),
  [addressKey(ownAddress)]: podAddress("client", { ports: [{ port: 8080, protocol: "http" }] }),
};

/** The action in words; `+` when an endpoint can be had, with `mtls` when it must prove its identity. */
function outcome(scene: Scene, address: string, port: number): string {
  const { action, destination } = connect(scene, address, port);
  const names = ["wait", "http", "grpc", "tcp", "direct", "refuse"];
  if (destination === actions.none) {
    return names[action]!;
  }
  const chosen = choose(scene.mesh, destination, {}, -1, 0);
  const found = scene.world.live.get(chosen);
  if (found === undefined) {
    return `${names[action]}, none`;
  }
  return `${names[action]}+${found.identity === "" ? "" : "mtls"}`;
}

/** What, where, and the outcome in the modes off, permissive and strict. */
const table: readonly (readonly [string, string, number, string, string, string])[] = [
  ["http service", "10.96.0.10", 80, "http+", "http+mtls", "http+mtls"],
  ["grpc service", "10.96.0.11", 81, "grpc+", "grpc+mtls", "grpc+mtls"],
  ["tcp service", "10.96.0.12", 82, "tcp+", "tcp+mtls", "tcp+mtls"],
  ["http service without sidecars", "10.96.0.13", 83, "http+", "http+", "http, none"],
  ["tcp service without sidecars", "10.96.0.14", 84, "tcp+", "tcp+", "tcp, none"],
  ["service with an IPv6 address", v6, 85, "http+", "http+mtls", "http+mtls"],
  ["unknown port of a service", "10.96.0.10", 81, "refuse", "refuse", "refuse"],
  ["service whose key is missing", "10.96.0.20", 80, "refuse", "refuse", "refuse"],
  ["unknown address of the service range", "10.96.0.99", 80, "refuse", "refuse", "refuse"],
  ["last address of the service range", "10.111.255.255", 80, "refuse", "refuse", "refuse"],
  [
    "unknown address of the IPv6 service range",
    `fd0000000000000000000000000000ff`,
    80,
    "refuse",
    "refuse",
    "refuse",
  ],
  ["address outside", "10.112.0.0", 80, "direct", "direct", "refuse"],
  ["IPv6 address outside", "20010db8000000000000000000000001", 443, "direct", "direct", "refuse"],
  ["pod, http port", "10.0.1.1", 8080, "http+", "http+mtls", "http+mtls"],
  ["pod, unknown port", "10.0.1.1", 5432, "tcp+", "tcp+mtls", "tcp+mtls"],
  ["pod without sidecar, grpc port", "10.0.1.2", 8080, "grpc+", "grpc+", "grpc, none"],
  ["pod without sidecar, unknown port", "10.0.1.2", 5432, "tcp+", "tcp+", "tcp, none"],
  ["status of another pod", "10.0.1.1", 8886, "direct", "direct", "direct"],
  ["metrics of another pod", "10.0.1.1", 8887, "direct", "direct", "direct"],
  ["HTTP probes of another pod", "10.0.1.1", 8895, "direct", "direct", "direct"],
  ["HTTPS probes of another pod", "10.0.1.1", 8896, "direct", "direct", "direct"],
  ["own address", ownAddress, 8080, "http+", "http+", "http+"],
  ["own status port", ownAddress, 8886, "refuse", "refuse", "refuse"],
  ["own outgoing port", ownAddress, 8900, "refuse", "refuse", "refuse"],
  ["own incoming port", ownAddress, 8901, "refuse", "refuse", "refuse"],
  ["last own sidecar port", ownAddress, 8909, "refuse", "refuse", "refuse"],
  ["own port after those of the sidecar", ownAddress, 8910, "tcp+", "tcp+", "tcp+"],
];

const serviceRanges = ["10.96.0.0/12", "fd000000000000000000000000000000/120"];

for (const [title, address, port, ...outcomes] of table) {
  test(`outgoing: ${title}`, () => {
    const modes: readonly MtlsMode[] = ["off", "permissive", "strict"];
    const seen = modes.map((mtlsMode) =>
      outcome(createScene(cluster, { mtlsMode, serviceRanges }), address, port),
    );
    assert.deepEqual(seen, outcomes);
  });
}

/** Addresses that TCP connections to the Service reach, with `mtls` where the endpoint must prove its identity. */
function tcpTo(endpoints: readonly Endpoint[], route?: Route, others: Bucket = {}): string[] {
  const port = servicePort(82, "tcp", endpoints, route === undefined ? {} : { route });
  const scene = createScene({
    ...cluster,
    [serviceKey("shop", "db")]: serviceMessage("db", [port]),
    ...others,
  });
  const { action, destination } = connect(scene, "10.96.0.12", 82);
  assert.equal(action, actions.tcp);
  const reached = Array.from({ length: 100 }, () => choose(scene.mesh, destination, undefined, -1, 0));
  const names = reached.map((id) => {
    const found = scene.mesh.endpoints[id];
    return found === undefined ? `${id}` : `${found.address}${found.identity === "" ? "" : " mtls"}`;
  });
  return [...new Set(names)].toSorted();
}

test("TCP goes to all endpoints of a Service, with a sidecar and without, and to the pod itself", () => {
  const meshed = endpoint("db", "10.0.2.1");
  const plain = endpoint("db", "10.0.2.2", 8080, "");
  const itself = endpoint("db", ownAddress);
  assert.deepEqual(tcpTo([meshed, plain, itself]), [ownAddress, "10.0.2.1 mtls", "10.0.2.2"]);
});

test("TCP through a split goes to the backends, not to the root service", () => {
  const backend = (name: string, last: number, identity?: string): Bucket => ({
    [serviceKey("shop", name)]: serviceMessage(name, [
      servicePort(82, "tcp", [endpoint(name, `10.0.2.${last}`, 8080, identity)]),
    ]),
  });
  const backends = { ...backend("db-a", 11, ""), ...backend("db-b", 12) };
  const none = { [serviceKey("shop", "db-b")]: serviceMessage("db-b", [servicePort(82, "tcp", [])]) };
  const meshed = [endpoint("db", "10.0.2.1")];
  const route = split(82, { "db-a": 1, "db-b": 1 });
  assert.deepEqual(tcpTo(meshed, route, backends), ["10.0.2.11", "10.0.2.12 mtls"]);
  assert.deepEqual(tcpTo(meshed, route, { ...backends, ...none }), ["-1", "10.0.2.11"]);
});

test("the first connection waits for own settings and the address, and wakes whoever talks to NATS", () => {
  const { mesh, world, bucket } = createScene(cluster);
  assert.deepEqual(outgoing(mesh, "10.96.0.99", 80, 3), { action: actions.wait, destination: actions.none });
  assert.deepEqual(mesh.keys.toAsk, [mesh.settingsKey, addressKey("10.96.0.99")]);
  assert.equal(world.wakes, 1);
  assert.equal(mesh.keys.byName[mesh.settingsKey]?.pinned, true);
  assert.equal(mesh.keys.byName[addressKey("10.96.0.99")]?.pinned, false);
  answer(mesh, bucket);
  assert.deepEqual(world.resumed, [3, 3]);
  assert.equal(outgoing(mesh, "10.96.0.99", 80, 3).action, actions.refuse);
  assert.equal(world.wakes, 1);
});

test("an answer about the address is not enough: own settings say what may be sent there", () => {
  const { mesh, world, bucket } = createScene(cluster);
  outgoing(mesh, "192.0.2.1", 443, 3);
  mesh.keys.toAsk.splice(mesh.keys.toAsk.indexOf(mesh.settingsKey), 1);
  answer(mesh, bucket);
  assert.deepEqual(world.resumed, [3]);
  assert.equal(outgoing(mesh, "192.0.2.1", 443, 3).action, actions.wait);
});

test("nothing but the own sidecar's ports is decided without a key", () => {
  const { mesh } = createScene(cluster);
  assert.equal(outgoing(mesh, ownAddress, 8901, 3).action, actions.refuse);
  assert.equal(mesh.keys.count, 1, "only the marker of completeness");
});

test("when NATS does not answer in time, unknown addresses pass in a mode that lets them", () => {
  const scene = createScene(cluster);
  destinationOf(scene, "10.96.0.10", 80);
  const { mesh, world } = scene;
  world.resumed.length = 0;
  outgoing(mesh, "192.0.2.1", 80, 3);
  giveUp(mesh, world.time, world.time);
  assert.deepEqual(world.resumed, [3]);
  assert.equal(outgoing(mesh, "192.0.2.1", 80, 3).action, actions.direct);
});

test("until its settings are known a sidecar is strict", () => {
  const { mesh, world } = createScene(cluster);
  outgoing(mesh, "10.96.0.10", 80, 3);
  giveUp(mesh, world.time, world.time);
  assert.deepEqual(world.resumed, [3, 3]);
  assert.equal(outgoing(mesh, "10.96.0.10", 80, 3).action, actions.refuse);
});

test("choose: why there is no endpoint", () => {
  const scene = createScene(cluster);
  const { id, title } = destinationOf(scene, "10.96.0.10", 80);
  assert.equal(choose(scene.mesh, 4711, {}, -1, 0), actions.unknown);
  change(
    scene.mesh,
    scene.bucket,
    serviceKey("shop", "web"),
    serviceMessage("web", [servicePort(80, "http", [])]),
  );
  assert.equal(choose(scene.mesh, id, {}, -1, 0), actions.noEndpoint);
  change(scene.mesh, scene.bucket, serviceKey("shop", "web"), undefined);
  assert.equal(choose(scene.mesh, id, {}, -1, 0), actions.unknown);
  assert.match(reason(scene.mesh, id, actions.noEndpoint), new RegExp(`no endpoint .* ${title}`));
  assert.match(reason(scene.mesh, id, actions.unknown), new RegExp(`${title} does not exist any more`));
  assert.match(reason(scene.mesh, id, actions.denied), /denied/);
  assert.match(reason(scene.mesh, 4711, actions.unknown), /no service/);
});

test("choose: matches decide about each request, and the next try stays with the backend of the first", () => {
  const scene = createScene({
    ...cluster,
    [serviceKey("shop", "web")]: serviceMessage("web", [
      servicePort(80, "http", [endpoint("web", "10.0.3.1")], {
        route: {
          rules: [
            {
              matches: [{ pathRegex: "/new.*" }],
              backends: [{ namespace: "shop", name: "new", port: 80, weight: 1 }],
            },
          ],
        },
      }),
    ]),
    [serviceKey("shop", "new")]: serviceMessage("new", [
      servicePort(80, "http", [endpoint("new", "10.0.3.2"), endpoint("new", "10.0.3.3")]),
    ]),
  });
  const { mesh } = scene;
  const { id } = destinationOf(scene, "10.96.0.10", 80);
  const chosen = (request: unknown, previous: number): string =>
    mesh.endpoints[choose(mesh, id, request, previous, 0)]!.address;
  assert.equal(chosen({ path: "/" }, -1), "10.0.3.1");
  assert.equal(chosen(undefined, -1), "10.0.3.1");
  const first = choose(mesh, id, { path: "/new" }, -1, 0);
  const other = mesh.endpoints[first]!.address === "10.0.3.2" ? "10.0.3.3" : "10.0.3.2";
  for (let i = 0; i < 10; i++) {
    assert.equal(chosen({ path: "/new" }, first), other);
  }
  change(
    mesh,
    scene.bucket,
    serviceKey("shop", "new"),
    serviceMessage("new", [servicePort(80, "http", [endpoint("new", "10.0.3.4")])]),
  );
  assert.equal(mesh.endpoints[first], undefined);
  assert.equal(chosen({ path: "/new" }, first), "10.0.3.4", "the endpoint that failed is gone");
  assert.equal(chosen({ path: "/" }, first), "10.0.3.1");
});

function inUse(
  balancing: LbMethod = "least_time",
): Scene & { readonly id: number; readonly endpoint: number } {
  const port = servicePort(80, "http", [endpoint("web", "10.0.3.1")], { balancing });
  const scene = createScene({ ...cluster, [serviceKey("shop", "web")]: serviceMessage("web", [port]) });
  const { id } = destinationOf(scene, "10.96.0.10", 80);
  return { ...scene, id, endpoint: choose(scene.mesh, id, {}, -1, 0) };
}

for (const [title, balancing, status, firstByte, average] of [
  ["an answer counts by its first byte", "least_time", 200, 5000, 5000],
  ["or by its last byte", "least_time last_byte", 200, 5000, 9000],
  ["an error of the application is an answer", "least_time", 500, 5000, 5000],
  ["a request that the client gave up says nothing", "least_time", 499, 5000, 0],
  ["nor does one that got no status", "least_time", 0, -1, 0],
  ["nor one that the mesh failed itself", "least_time", 502, -1, 0],
  ["nor one whose client gave up while it sent", "least_time", 400, -1, 0],
  ["TCP has no first byte when the server sent nothing", "least_time", 200, -1, 9000],
] as const) {
  test(`finished: ${title}`, () => {
    const { mesh, id, endpoint: chosen } = inUse(balancing);
    finished(mesh, id, chosen, true, status, 300, firstByte, 9000, 10, 20, 1_000_000);
    const found = mesh.endpoints[chosen]!;
    assert.deepEqual([found.inFlight, found.average], [0, average]);
    assert.deepEqual(
      [found.edge.total, found.edge.sent, found.edge.received, found.edge.connects],
      [1, 10, 20, 1],
    );
    assert.equal(found.edge.firstBytes, firstByte < 0 ? 0 : 1);
  });
}

test("finished: an attempt that was counted down before is not counted down again", () => {
  const { mesh, id, endpoint: chosen } = inUse();
  choose(mesh, id, {}, -1, 0);
  failed(mesh, chosen, false, 0);
  finished(mesh, id, chosen, false, 502, -1, -1, 9000, 0, 0, 0);
  assert.equal(mesh.endpoints[chosen]!.inFlight, 1);
  assert.deepEqual([mesh.endpoints[chosen]!.edge.total, mesh.endpoints[chosen]!.edge.failures], [1, 1]);
});

test("finished: without an endpoint, or with one that is gone, the request counts for its destination", () => {
  const scene = inUse();
  const { mesh, id, endpoint: chosen } = scene;
  finished(mesh, id, actions.none, false, 503, -1, -1, 100, 1, 2, 0);
  change(mesh, scene.bucket, serviceKey("shop", "web"), undefined);
  finished(mesh, id, chosen, true, 200, 1, 1, 100, 3, 4, 0);
  failed(mesh, chosen, true, 0);
  const { edge } = mesh.destinations[id]!;
  assert.deepEqual([edge.total, edge.failures, edge.sent, edge.received], [2, 1, 4, 6]);
  finished(mesh, 4711, actions.none, false, 503, -1, -1, 100, 1, 2, 0);
});

test("failed: only what cannot connect is set aside", () => {
  const { mesh, id, endpoint: chosen } = inUse();
  failed(mesh, chosen, false, 0);
  assert.deepEqual([mesh.endpoints[chosen]!.inFlight, mesh.endpoints[chosen]!.failures], [0, 0]);
  choose(mesh, id, {}, -1, 0);
  failed(mesh, chosen, true, 0);
  assert.deepEqual([mesh.endpoints[chosen]!.inFlight, mesh.endpoints[chosen]!.failures], [0, 1]);
});
