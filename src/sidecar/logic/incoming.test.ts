import assert from "node:assert/strict";
import { test } from "node:test";
import { identityOf, podAddress, serviceAddress } from "../../../test/sidecar/messages.ts";
import { createScene, ownAddress, settled, type Scene } from "../../../test/sidecar/world.ts";
import { addressKey } from "../../wire/keys.ts";
import type { MtlsMode } from "../../wire/messages.ts";
import * as actions from "./actions.ts";
import { admit, incoming, incomingClosed, nobody, peer, served } from "./incoming.ts";
import { giveUp } from "./settle.ts";

const v6 = "fd000000000000000000000000000009";
const bucket = {
  [addressKey("10.0.1.1")]: podAddress("web"),
  [addressKey(v6)]: podAddress("web6"),
  [addressKey("10.0.1.2")]: podAddress("old", { meshed: false }),
  // a pod in mode off: it has no identity, and starts TLS with nobody
  [addressKey("10.0.1.3")]: podAddress("off", { meshed: false, identity: "" }),
  [addressKey("10.0.1.4")]: podAddress("nic", { meshed: false, ingress: identityOf("nic") }),
  [addressKey("10.96.0.10")]: serviceAddress("web"),
};
const ports = [
  { port: 80, protocol: "http" },
  { port: 81, protocol: "grpc" },
  { port: 82, protocol: "tcp" },
] as const;

function outcome(scene: Scene, source: string, port: number): string {
  const { action, expected } = settled(scene, (waiter) => incoming(scene.mesh, source, port, waiter));
  const kinds = ["", "http", "grpc", "tcp"];
  const plain = kinds[action % actions.peek] ?? "?";
  const who = expected === undefined ? "" : expected === nobody ? "nobody" : "known";
  const within = Math.floor(action / actions.ingress) % 4;
  const words = [
    plain,
    Math.floor(action / actions.peek) % 2 === 1 ? "peek" : "",
    within === 0 ? "" : `tls-${kinds[within]}`,
    action >= actions.impatient ? "impatient" : "",
    who,
  ];
  return words.filter((word) => word !== "").join("+");
}

/** Who, to which port, and the outcome in the modes off, permissive and strict. */
const table: readonly (readonly [string, string, number, string, string, string])[] = [
  ["meshed pod, http", "10.0.1.1", 80, "http+peek+known", "http+peek+known", "peek+known"],
  ["meshed pod, grpc", "10.0.1.1", 81, "grpc+peek+known", "grpc+peek+known", "peek+known"],
  [
    "meshed pod, tcp: it starts TLS, but not with a pod in mode off",
    "10.0.1.1",
    82,
    "tcp+known",
    "tcp+peek+known",
    "peek+known",
  ],
  ["meshed pod, unknown port", "10.0.1.1", 99, "tcp+known", "tcp+peek+known", "peek+known"],
  ["meshed pod with an IPv6 address", v6, 82, "tcp+known", "tcp+peek+known", "peek+known"],
  ["unmeshed pod, http", "10.0.1.2", 80, "http+peek+nobody", "http+peek+nobody", "peek+nobody"],
  [
    "unmeshed pod, tcp: the server may speak first",
    "10.0.1.2",
    82,
    "tcp+nobody",
    "tcp+nobody",
    "peek+nobody",
  ],
  ["pod in mode off, tcp", "10.0.1.3", 82, "tcp+nobody", "tcp+nobody", "peek+nobody"],
  [
    "ingress controller, http",
    "10.0.1.4",
    80,
    "http+peek+tls-http+known",
    "http+peek+tls-http+known",
    "peek+tls-http+known",
  ],
  [
    "ingress controller, grpc",
    "10.0.1.4",
    81,
    "grpc+peek+tls-grpc+known",
    "grpc+peek+tls-grpc+known",
    "peek+tls-grpc+known",
  ],
  [
    "ingress controller, tcp: the server may speak first, in plain text",
    "10.0.1.4",
    82,
    "tcp+peek+tls-tcp+impatient+known",
    "tcp+peek+tls-tcp+impatient+known",
    "peek+tls-tcp+known",
  ],
  ["unknown source, http", "192.0.2.1", 80, "http+peek", "http+peek", "peek"],
  ["unknown source, tcp", "192.0.2.1", 82, "tcp", "tcp", "peek"],
  ["an address of a service is no source that says something", "10.96.0.10", 82, "tcp", "tcp", "peek"],
];

for (const [title, source, port, ...outcomes] of table) {
  test(`incoming: ${title}`, () => {
    const modes: readonly MtlsMode[] = ["off", "permissive", "strict"];
    const seen = modes.map((mtlsMode) => outcome(createScene(bucket, { mtlsMode, ports }), source, port));
    assert.deepEqual(seen, outcomes);
  });
}

test("the identity that is expected is the one of the source's key", () => {
  const scene = createScene(bucket, { ports });
  const admission = settled(scene, (waiter) => incoming(scene.mesh, "10.0.1.1", 80, waiter));
  assert.equal(admission.expected, identityOf("web"));
});

test("of an ingress controller exactly its own identity is expected", () => {
  const scene = createScene(bucket, { ports });
  const admission = settled(scene, (waiter) => incoming(scene.mesh, "10.0.1.4", 80, waiter));
  assert.equal(admission.expected, identityOf("nic"));
});

test("the first connection waits for own settings and for the source; until its settings are known a sidecar is strict", () => {
  const { mesh, world } = createScene(bucket);
  assert.equal(incoming(mesh, "10.0.1.1", 82, 4).action, actions.wait);
  assert.deepEqual(mesh.keys.toAsk, [mesh.settingsKey, addressKey("10.0.1.1")]);
  assert.equal(world.wakes, 1);
  giveUp(mesh, world.time, world.time);
  assert.deepEqual(world.resumed, [4, 4]);
  assert.deepEqual(incoming(mesh, "10.0.1.1", 82, 4), { action: actions.peek, expected: undefined });
});

function meshed(mtlsMode: MtlsMode = "permissive"): Scene {
  const scene = createScene(bucket, { ports, mtlsMode });
  settled(scene, (waiter) => incoming(scene.mesh, "10.0.1.1", 80, waiter));
  return scene;
}

test("connections of one identity to one port are one caller, and share the application's endpoint", () => {
  const { mesh, world } = meshed();
  const first = peer(mesh, ownAddress, 80, identityOf("web"));
  assert.equal(peer(mesh, ownAddress, 80, identityOf("web")), first);
  const others = [peer(mesh, ownAddress, 80, ""), peer(mesh, ownAddress, 81, identityOf("web"))];
  assert.equal(new Set([first, ...others]).size, 3);
  assert.equal(mesh.callers[first]?.references, 2);
  assert.deepEqual(
    [...world.live.values()],
    [
      { address: ownAddress, port: 80, identity: "" },
      { address: ownAddress, port: 81, identity: "" },
    ],
  );
  assert.equal(admit(mesh, first), admit(mesh, others[0]!));
  const { edge } = mesh.callers[first]!;
  assert.deepEqual(
    [edge.direction, edge.protocol, edge.identity, edge.mtls],
    ["from", "http", identityOf("web"), true],
  );
  assert.equal(mesh.callers[others[0]!]!.edge.mtls, false);
});

test("a pod with two addresses gets connections at the one that the client meant", () => {
  const { mesh, world } = meshed();
  const endpoints = [peer(mesh, ownAddress, 80, ""), peer(mesh, v6, 80, "")].map((id) => admit(mesh, id));
  assert.deepEqual(
    endpoints.map((id) => world.live.get(id)?.address),
    [ownAddress, v6],
  );
});

test("a port whose protocol becomes known later counts as what it is", () => {
  const scene = createScene(bucket, { ports });
  const early = peer(scene.mesh, ownAddress, 80, "");
  settled(scene, (waiter) => incoming(scene.mesh, "10.0.1.1", 80, waiter));
  const late = peer(scene.mesh, ownAddress, 80, "");
  assert.deepEqual(
    [early, late].map((id) => scene.mesh.callers[id]?.edge.protocol),
    ["tcp", "http"],
  );
});

test("the sidecar's own ports and addresses that are none belong to no application", () => {
  const { mesh } = meshed();
  for (const port of [8886, 8887, 8900, 8901, 8909]) {
    assert.equal(peer(mesh, ownAddress, port, ""), actions.none, `${port}`);
  }
  assert.equal(peer(mesh, "nonsense", 80, ""), actions.none);
  assert.notEqual(peer(mesh, ownAddress, 8885, ""), actions.none);
  assert.notEqual(peer(mesh, ownAddress, 8910, ""), actions.none);
  assert.equal(admit(mesh, actions.none), actions.unknown);
});

test("what was served counts for the caller, until the connection is gone", () => {
  const { mesh } = meshed();
  const caller = peer(mesh, ownAddress, 80, identityOf("web"));
  served(mesh, caller, 200, 3000, 10, 20);
  served(mesh, caller, 503, 3000, 1, 2);
  served(mesh, 4711, 200, 3000, 1, 2);
  const { edge } = mesh.callers[caller]!;
  assert.deepEqual([edge.total, edge.failures, edge.sent, edge.received], [2, 1, 11, 22]);
  incomingClosed(mesh, caller);
  incomingClosed(mesh, 4711);
  assert.equal(mesh.callers[caller]?.references, 0);
});

test("a connection in plain text that is older than mode strict is served no more", () => {
  for (const mtlsMode of ["off", "permissive", "strict"] as const) {
    const { mesh } = meshed(mtlsMode);
    const admitted = ["", identityOf("web")].map(
      (identity) => admit(mesh, peer(mesh, ownAddress, 80, identity)) >= 0,
    );
    assert.deepEqual(admitted, [mtlsMode !== "strict", true], mtlsMode);
  }
});
