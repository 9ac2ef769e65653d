import assert from "node:assert/strict";
import { test } from "node:test";
import { endpoint, serviceAddress, serviceMessage, servicePort } from "../../../test/sidecar/messages.ts";
import {
  answer,
  change,
  connect,
  createScene,
  type Bucket,
  type Scene,
} from "../../../test/sidecar/world.ts";
import { addressKey, egressKey, serviceKey } from "../../wire/keys.ts";
import { wireVersion, type EgressMessage, type MtlsMode, type Protocol } from "../../wire/messages.ts";
import * as actions from "./actions.ts";
import { noEgress } from "./egress.ts";
import { choose, failed, outgoing, outgoingClosed, reason } from "./outgoing.ts";

function egress(...addresses: readonly string[]): EgressMessage {
  return { version: wireVersion, endpoints: addresses.map((address) => endpoint("nic", address, 443)) };
}

function outside(name: string, address: string, protocol: Protocol): Bucket {
  const port = servicePort(
    80,
    protocol,
    [endpoint(name, "10.0.3.1", 8080, "")],
    protocol === "http" || protocol === "grpc" ? { egress: true } : {},
  );
  return {
    [addressKey(address)]: serviceAddress(name),
    [serviceKey("shop", name)]: serviceMessage(name, [port]),
  };
}

const cluster: Bucket = {
  ...outside("legacy", "10.96.0.10", "http"),
  ...outside("legacy-grpc", "10.96.0.11", "grpc"),
  ...outside("legacy-db", "10.96.0.12", "tcp"),
  [addressKey("10.96.0.13")]: serviceAddress("web"),
  [serviceKey("shop", "web")]: serviceMessage("web", [
    servicePort(80, "http", [endpoint("web", "10.0.1.1")]),
  ]),
  [egressKey]: egress("10.0.2.1", "10.0.2.2"),
};
const { [egressKey]: _, ...withoutEgress } = cluster;

const words = ["wait", "http", "grpc", "tcp", "direct", "refuse"];

/** What becomes of the connection: of HTTP, and of what is not HTTP where that is told apart. */
function outcome(scene: Scene, address: string, port: number): string {
  const { action, destination } = connect(scene, address, port);
  const otherwise = words[action % actions.peek]!;
  if (action < actions.egress) {
    return otherwise;
  }
  const chosen = scene.world.live.get(choose(scene.mesh, destination, {}, -1, 0));
  const through = chosen === undefined ? "none" : `${chosen.address.slice(0, 6)}:${chosen.port}`;
  return `${through}, else ${action >= actions.impatient ? "soon " : ""}${otherwise}`;
}

/** What, where, and the outcome in the modes off, permissive and strict. */
const table: readonly (readonly [string, string, number, string, string, string])[] = [
  ["outside, port 80", "192.0.2.1", 80, "direct", "10.0.2:443, else direct", "10.0.2:443, else refuse"],
  ["outside", "192.0.2.1", 8080, "direct", "10.0.2:443, else soon direct", "10.0.2:443, else refuse"],
  ["an unknown Service", "10.96.0.99", 80, "refuse", "refuse", "refuse"],
  ["a Service of the mesh", "10.96.0.13", 80, "http", "http", "http"],
  ["http Service outside", "10.96.0.10", 80, "http", "10.0.2:443, else refuse", "10.0.2:443, else refuse"],
  ["grpc Service outside", "10.96.0.11", 80, "grpc", "10.0.2:443, else refuse", "10.0.2:443, else refuse"],
  ["tcp Service outside", "10.96.0.12", 80, "tcp", "tcp", "tcp"],
];

const modes: readonly MtlsMode[] = ["off", "permissive", "strict"];

for (const [title, address, port, ...outcomes] of table) {
  test(`egress: ${title}`, () => {
    const seen = modes.map((mtlsMode) =>
      outcome(createScene(cluster, { mtlsMode, egress: true }), address, port),
    );
    assert.deepEqual(seen, outcomes);
  });
}

test("a pod without the annotation is not changed by an egress", () => {
  for (const [, address, port] of table) {
    for (const mtlsMode of modes) {
      const without = outcome(createScene(withoutEgress, { mtlsMode }), address, port);
      assert.equal(outcome(createScene(cluster, { mtlsMode }), address, port), without);
    }
  }
});

test("without a pod for egress: permissive as without the annotation, strict says what is missing", () => {
  const permissive = createScene(withoutEgress, { egress: true });
  assert.equal(outcome(permissive, "192.0.2.1", 80), "direct");
  assert.equal(outcome(permissive, "10.96.0.10", 80), "http");
  const strict = createScene(withoutEgress, { egress: true, mtlsMode: "strict" });
  const { destination } = connect(strict, "192.0.2.1", 80);
  const chosen = choose(strict.mesh, destination, {}, -1, 0);
  assert.equal(chosen, actions.noEndpoint);
  assert.equal(reason(strict.mesh, destination, chosen), noEgress);
  change(strict.mesh, strict.bucket, egressKey, egress("10.0.2.1"));
  assert.equal(outcome(strict, "192.0.2.1", 80), "10.0.2:443, else refuse");
});

test("requests are spread over the endpoints; one that is down is left out, and each must prove its identity", () => {
  const scene = createScene(cluster, { egress: true, balancing: "round_robin" });
  const { destination } = connect(scene, "192.0.2.1", 80);
  const first = choose(scene.mesh, destination, {}, -1, 0);
  const second = choose(scene.mesh, destination, {}, -1, 0);
  assert.notEqual(first, second);
  assert.deepEqual(
    new Set([...scene.world.live.values()].map(({ identity }) => identity)),
    new Set(["spiffe://example.org/ns/shop/sa/nic"]),
  );
  failed(scene.mesh, second, true, 1);
  for (let i = 0; i < 4; i++) {
    assert.equal(choose(scene.mesh, destination, {}, -1, 1), first);
  }
});

test("endpoints that come and go: the connections of before use what there is, and say so when there is nothing", () => {
  const scene = createScene(cluster, { egress: true });
  const { destination } = connect(scene, "192.0.2.1", 80);
  const addressOf = (): string | undefined =>
    scene.world.live.get(choose(scene.mesh, destination, {}, -1, 0))?.address;
  change(scene.mesh, scene.bucket, egressKey, egress("10.0.2.9"));
  assert.equal(addressOf(), "10.0.2.9");
  change(scene.mesh, scene.bucket, egressKey, undefined);
  assert.equal(addressOf(), undefined);
  assert.equal(reason(scene.mesh, destination, actions.noEndpoint), noEgress);
  change(scene.mesh, scene.bucket, egressKey, egress("10.0.2.1"));
  assert.equal(addressOf(), "10.0.2.1");
  outgoingClosed(scene.mesh, destination);
  assert.equal(scene.mesh.destinations[destination]?.references, 0);
});

test("the first connection waits for the key of the egress", () => {
  const scene = createScene(cluster, { egress: true });
  connect(scene, "10.96.0.13", 80);
  assert.equal(outgoing(scene.mesh, "192.0.2.1", 80, 3).action, actions.wait);
  answer(scene.mesh, scene.bucket);
  assert.equal(outgoing(scene.mesh, "192.0.2.1", 80, 3).action, actions.wait);
  assert.deepEqual(scene.mesh.keys.toAsk, [egressKey]);
  assert.equal(outcome(scene, "192.0.2.1", 80), "10.0.2:443, else direct");
});
