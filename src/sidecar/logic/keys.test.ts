import assert from "node:assert/strict";
import { test } from "node:test";
import { askAgain, createKeys, need, takeWaiters } from "./keys.ts";

test("a key is asked for once, however many need it", () => {
  const keys = createKeys();
  const key = need(keys, "service.shop.web", 1, 100, false);
  assert.equal(need(keys, "service.shop.web", 2, 101, false), key);
  need(keys, "service.shop.web", -1, 102, false);
  need(keys, "service.shop.web", 1, 103, false);
  assert.deepEqual(keys.toAsk, ["service.shop.web"]);
  assert.equal(keys.count, 1);
  assert.deepEqual(key.waiters, [1, 2]);
  assert.deepEqual([key.askedAt, key.usedAt], [100, 103]);
});

test("waiters are taken out once, in their order", () => {
  const keys = createKeys();
  const key = need(keys, "a", 5, 0, false);
  need(keys, "a", 0, 0, false);
  need(keys, "a", 9, 0, false);
  const told: number[] = [3];
  takeWaiters(key, told);
  takeWaiters(key, told);
  assert.deepEqual(told, [3, 5, 0, 9]);
});

test("who needs a key that has been answered does not wait", () => {
  const keys = createKeys();
  const key = need(keys, "a", -1, 0, false);
  for (const state of ["present", "absent", "unanswered"] as const) {
    key.state = state;
    need(keys, "a", 4, 0, false);
    assert.deepEqual(key.waiters, []);
  }
  assert.deepEqual(keys.toAsk, ["a"]);
});

test("a key stays pinned", () => {
  const keys = createKeys();
  assert.equal(need(keys, "a", -1, 0, false).pinned, false);
  assert.equal(need(keys, "a", -1, 0, true).pinned, true);
  assert.equal(need(keys, "a", -1, 0, false).pinned, true);
});

test("after a reconnect every key is asked for once, and keeps its value and state until the answer", () => {
  const keys = createKeys();
  const a = need(keys, "a", -1, 0, false);
  need(keys, "b", 2, 0, false);
  a.state = "present";
  a.value = { version: 1 };
  a.fresher = true;
  askAgain(keys);
  askAgain(keys);
  assert.deepEqual(keys.toAsk.toSorted(), ["a", "b"]);
  assert.deepEqual([a.state, a.value, a.fresher], ["present", { version: 1 }, false]);
  assert.deepEqual(keys.byName["b"]?.waiters, [2]);
});
