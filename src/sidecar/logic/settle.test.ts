import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  endpoint,
  serviceAddress,
  serviceMessage,
  servicePort,
  workloadMessage,
} from "../../../test/sidecar/messages.ts";
import {
  createScene,
  createTestMesh,
  createTestWorld,
  destinationOf,
  ownAddress,
  settingsKey,
  type TestWorld,
} from "../../../test/sidecar/world.ts";
import { addressKey, completeKey } from "../../wire/keys.ts";
import { askAgain, need, type Key } from "./keys.ts";
import { createMesh, mtlsMode, type Mesh } from "./mesh.ts";
import { absent, completeness, giveUp, present } from "./settle.ts";

interface Setting {
  readonly world: TestWorld;
  readonly mesh: Mesh;
  readonly key: Key;
}

/** One key that two connections wait for. */
function waitedFor(complete = true): Setting {
  const world = createTestWorld();
  const mesh = complete
    ? createTestMesh(world, settingsKey, ownAddress)
    : createMesh(world, settingsKey, ownAddress);
  const key = need(mesh.keys, "service.shop.web", 1, world.time, false);
  need(mesh.keys, "service.shop.web", 2, world.time, false);
  return { world, mesh, key };
}

function web(port: number): unknown {
  return serviceMessage("web", [servicePort(port, "http", [endpoint("web", "10.0.0.9")])]);
}

test("a value puts the key in force and tells each waiter once", () => {
  const { world, mesh, key } = waitedFor();
  world.time = 1234;
  present(mesh, key, web(80), "answer");
  assert.deepEqual([key.state, key.value], ["present", web(80)]);
  assert.equal(mesh.changedAt, 1234);
  present(mesh, key, web(81), "message");
  assert.deepEqual(key.value, web(81));
  assert.deepEqual(world.resumed, [1, 2]);
});

test("no value in a complete bucket: absent, and each waiter is told once", () => {
  const { world, mesh, key } = waitedFor();
  absent(mesh, key, false, "answer");
  absent(mesh, key, true, "message");
  assert.deepEqual([key.state, key.value], ["absent", undefined]);
  assert.deepEqual(world.resumed, [1, 2]);
});

test("no answer at all: waits longer than for a value that is missing", () => {
  const { world, mesh, key } = waitedFor();
  giveUp(mesh, world.time, world.time - 1);
  assert.deepEqual([key.state, world.resumed], ["asked", []]);
  giveUp(mesh, world.time - 1, world.time);
  assert.deepEqual([key.state, world.resumed], ["unanswered", [1, 2]]);
});

test("asked again after a reconnect: nothing was heard of that connection", () => {
  const { world, mesh, key } = waitedFor(false);
  absent(mesh, key, false, "answer");
  askAgain(mesh.keys);
  giveUp(mesh, world.time, world.time - 1);
  assert.deepEqual([key.state, world.resumed], ["asked", []]);
});

test("no value in a bucket that is not complete: waits, until the time-out or the value", () => {
  const first = waitedFor(false);
  absent(first.mesh, first.key, false, "answer");
  assert.deepEqual([first.key.state, first.world.resumed], ["asked", []]);
  giveUp(first.mesh, first.world.time - 1, first.world.time);
  assert.deepEqual([first.key.state, first.world.resumed], ["asked", []]);
  giveUp(first.mesh, first.world.time, first.world.time - 4);
  assert.deepEqual([first.key.state, first.world.resumed], ["unanswered", [1, 2]]);
  giveUp(first.mesh, first.world.time, first.world.time - 4);
  assert.deepEqual(first.world.resumed, [1, 2]);
  present(first.mesh, first.key, web(80), "message");
  assert.equal(first.key.state, "present");

  const second = waitedFor(false);
  absent(second.mesh, second.key, false, "answer");
  present(second.mesh, second.key, web(80), "message");
  assert.deepEqual([second.key.state, second.world.resumed], ["present", [1, 2]]);
});

test("a bucket that lost its content takes nothing away, until it is complete again", () => {
  const { mesh, key } = waitedFor();
  present(mesh, key, web(80), "answer");
  mesh.keys.complete = false;
  askAgain(mesh.keys);
  absent(mesh, key, false, "answer");
  assert.deepEqual([key.state, key.value], ["present", web(80)]);
  assert.equal(completeness(mesh, mesh.keys.byName[completeKey]!, true), true);
  askAgain(mesh.keys);
  absent(mesh, key, false, "answer");
  assert.deepEqual([key.state, key.value], ["absent", undefined]);
});

test("a marker of removal counts, complete or not", () => {
  for (const complete of [true, false]) {
    const { world, mesh, key } = waitedFor();
    present(mesh, key, web(80), "answer");
    mesh.keys.complete = complete;
    absent(mesh, key, true, "message");
    assert.deepEqual([key.state, key.value], ["absent", undefined]);
    assert.deepEqual(world.resumed, [1, 2]);
  }
});

test("a message beats the answer that comes after it", () => {
  const value = waitedFor();
  present(value.mesh, value.key, web(81), "message");
  present(value.mesh, value.key, web(80), "answer");
  absent(value.mesh, value.key, false, "answer");
  assert.deepEqual(value.key.value, web(81));

  const removed = waitedFor();
  absent(removed.mesh, removed.key, true, "message");
  present(removed.mesh, removed.key, web(80), "answer");
  assert.deepEqual([removed.key.state, removed.key.value], ["absent", undefined]);
  askAgain(removed.mesh.keys);
  present(removed.mesh, removed.key, web(80), "answer");
  assert.deepEqual(removed.key.value, web(80), "asked again, the answer counts");
});

for (const [title, unreadable] of [
  ["undefined, for text that is no JSON", undefined],
  ["null", null],
  ["text", "x"],
  ["a number", 1],
  ["an array", []],
  ["another version", { ...workloadMessage(), version: 2 }],
  ["no version", { namespace: "shop", name: "web", ports: [] }],
] as const) {
  test(`a value that cannot be read (${title}) leaves the last one in force`, () => {
    const fresh = waitedFor();
    present(fresh.mesh, fresh.key, unreadable, "answer");
    assert.deepEqual([fresh.key.state, fresh.key.value], ["absent", undefined]);
    assert.deepEqual(fresh.world.resumed, [1, 2]);

    const { world, mesh, key } = waitedFor();
    present(mesh, key, web(80), "answer");
    present(mesh, key, unreadable, "message");
    assert.deepEqual([key.state, key.value], ["present", web(80)]);
    assert.match(world.logged.join(), /^error: value of "service.shop.web" ignored/);
  });
}

test("a value of the right version that is malformed leaves the last one in force, and what was made from it", () => {
  const address = addressKey("10.96.0.10");
  const scene = createScene({ [address]: serviceAddress("web"), "service.shop.web": web(80) });
  const destination = destinationOf(scene, "10.96.0.10", 80);
  const key = scene.mesh.keys.byName["service.shop.web"]!;
  const before = scene.mesh.changedAt;
  for (const malformed of [
    { version: 1, namespace: "shop", name: "web" },
    { version: 1, namespace: "shop", name: "web", ports: [{ port: 80, protocol: "http" }] },
  ]) {
    present(scene.mesh, key, malformed, "message");
    assert.deepEqual([key.state, key.value], ["present", web(80)]);
    assert.deepEqual(
      destination.pool.endpoints.map((each) => each.address),
      ["10.0.0.9"],
    );
    assert.equal(destination.gone, false);
    assert.match(scene.world.logged.pop() ?? "", /^error: value of "service.shop.web" ignored: ./);
  }
  assert.equal(scene.mesh.changedAt, before);
});

test("own settings that are malformed: the last ones stay, or none", () => {
  const world = createTestWorld();
  const mesh = createTestMesh(world, settingsKey, ownAddress);
  const key = need(mesh.keys, settingsKey, 3, world.time, true);
  present(mesh, key, { version: 1 }, "answer");
  assert.deepEqual([mesh.settings, key.state, world.resumed], [undefined, "absent", [3]]);
  assert.equal(mtlsMode(mesh), "strict");
  const settings = workloadMessage({ ports: [{ port: 80, protocol: "grpc" }] });
  present(mesh, key, settings, "message");
  present(mesh, key, { version: 1 }, "message");
  assert.deepEqual([mesh.settings, mesh.ownPorts, key.state], [settings, { 80: "grpc" }, "present"]);
  assert.equal(world.configured.at(-1), settings);
});

test("own settings are put in force, and stay when their key goes", () => {
  const world = createTestWorld();
  const mesh = createTestMesh(world, settingsKey, ownAddress);
  const key = need(mesh.keys, settingsKey, 3, world.time, true);
  const settings = workloadMessage({ mtlsMode: "strict", ports: [{ port: 80, protocol: "grpc" }] });
  present(mesh, key, settings, "answer");
  assert.deepEqual([mesh.settings, mesh.ownPorts, world.resumed], [settings, { 80: "grpc" }, [3]]);
  assert.deepEqual(world.configured, [settings]);
  present(mesh, key, workloadMessage({ ports: [{ port: 81, protocol: "http" }] }), "message");
  assert.deepEqual(mesh.ownPorts, { 81: "http" });
  absent(mesh, key, true, "message");
  assert.deepEqual(mesh.ownPorts, { 81: "http" });
  assert.equal(world.configured.length, 2);
});

test("only the coming of completeness asks again; the marker itself is never given up", () => {
  const world = createTestWorld();
  const mesh = createMesh(world, settingsKey, ownAddress);
  const marker = need(mesh.keys, completeKey, -1, world.time, true);
  giveUp(mesh, world.time + 100, world.time + 100);
  assert.equal(marker.state, "asked");
  const seen = [false, true, true, false, true].map((complete) => completeness(mesh, marker, complete));
  assert.deepEqual(seen, [false, true, false, false, true]);
});

/** What happens to one key: the bucket changes, the newest question is answered, or the connection is made anew. */
type Happening = { readonly change: number | undefined } | "answer" | "reconnect";

test("however answers and messages interleave, in the end the key is what the bucket says", () => {
  const happening: fc.Arbitrary<Happening> = fc.oneof(
    fc.record({ change: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }) }),
    fc.constantFrom("answer" as const, "reconnect" as const),
  );
  fc.assert(
    fc.property(fc.array(happening), (happenings) => {
      const { world, mesh, key } = waitedFor();
      let truth: number | undefined;
      let questions: { readonly seen: number | undefined }[] = [{ seen: undefined }];
      const tell = (port: number | undefined, removed: boolean, source: "answer" | "message"): void =>
        port === undefined ? absent(mesh, key, removed, source) : present(mesh, key, web(port), source);
      for (const happens of happenings) {
        if (happens === "reconnect") {
          askAgain(mesh.keys);
          questions = [{ seen: truth }];
        } else if (happens === "answer") {
          questions.splice(0).forEach(({ seen }) => tell(seen, false, "answer"));
        } else {
          truth = happens.change;
          tell(truth, true, "message");
        }
      }
      questions.forEach(({ seen }) => tell(seen, false, "answer"));
      assert.deepEqual(key.value, truth === undefined ? undefined : web(truth));
      assert.equal(key.state, truth === undefined ? "absent" : "present");
      assert.deepEqual(world.resumed, [1, 2]);
    }),
    { numRuns: 500, seed: 1 },
  );
});
