import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Entry } from "./entry.ts";
import { createStore } from "./store.ts";

function entry(uid: string, value: string | undefined, problem = ""): Entry<{ text: string }> {
  return {
    value: value === undefined ? undefined : { text: value },
    problems:
      problem === ""
        ? []
        : [{ object: "Thing a", field: "", reason: "InvalidValue", message: problem, severity: "error" }],
    reference: { apiVersion: "v1", kind: "Thing", namespace: "", name: "a", uid, generation: 0 },
  };
}

function storeOf() {
  let changes = 0;
  const store = createStore<{ text: string }>(() => (changes += 1));
  const state = (): (string | undefined)[] => [...store.entries()].map((each) => each.value?.text);
  return { store, state, changes: () => changes };
}

test("the first list is a change, also an empty one; equal ones after it are none", () => {
  const { store, changes } = storeOf();
  assert.equal(store.synced(), false);
  store.replace(new Map());
  assert.equal(store.synced(), true);
  assert.equal(changes(), 1);
  store.replace(new Map([["/a", entry("1", "x")]]));
  store.replace(new Map([["/a", entry("1", "x")]]));
  store.set("/a", entry("1", "x"));
  store.remove("/b");
  assert.equal(changes(), 2);
  store.set("/a", entry("1", "y"));
  store.remove("/a");
  assert.equal(changes(), 4);
});

test("an object that cannot be read any more keeps its last good value, and has the problem", () => {
  const { store, state } = storeOf();
  store.replace(new Map([["/a", entry("1", "good")]]));
  store.set("/a", entry("1", undefined, "bad"));
  assert.deepEqual(state(), ["good"]);
  assert.deepEqual([...store.entries()][0]?.problems.length, 1);
  store.replace(new Map([["/a", entry("1", undefined, "still bad")]]));
  assert.deepEqual(state(), ["good"]);
  store.set("/a", entry("1", "better"));
  assert.deepEqual(state(), ["better"]);
  assert.deepEqual([...store.entries()][0]?.problems, []);
});

test("an object that was deleted and made anew has no past", () => {
  const { store, state } = storeOf();
  store.replace(new Map([["/a", entry("1", "good")]]));
  store.set("/a", entry("2", undefined, "bad"));
  assert.deepEqual(state(), [undefined]);
});

test("what a list does not have is gone", () => {
  const { store, state, changes } = storeOf();
  store.replace(
    new Map([
      ["/a", entry("1", "x")],
      ["/b", entry("2", "y")],
    ]),
  );
  store.replace(new Map([["/b", entry("2", "y")]]));
  assert.deepEqual(state(), ["y"]);
  assert.equal(changes(), 2);
});
