import assert from "node:assert/strict";
import { test } from "node:test";

import type { EdgeStatistics, StatisticsMessage } from "../wire/messages.ts";
import { emptyHistogram } from "./histogram.ts";
import { createWindow, forget, readWindow, takeIn, type Window } from "./window.ts";

const start = 1_000_000;

function edge(total: number, failures = 0, more: Partial<EdgeStatistics> = {}): EdgeStatistics {
  const latency = emptyHistogram();
  latency[2] = total;
  return {
    direction: "to",
    protocol: "http",
    workload: { namespace: "shop", kind: "deployment", name: "catalog" },
    pod: "catalog-1",
    mtls: true,
    total,
    failures,
    latency,
    ...more,
  };
}

function message(edges: readonly EdgeStatistics[], more: Partial<StatisticsMessage> = {}): StatisticsMessage {
  return {
    version: 1,
    namespace: "shop",
    pod: "web-1",
    workload: { namespace: "shop", kind: "deployment", name: "web" },
    worker: 0,
    startedAt: start,
    edges,
    ...more,
  };
}

function counted(
  window: Window,
  now: number,
  seconds = 30,
): { total: number; failures: number; latency: number } {
  const sum = { total: 0, failures: 0, latency: 0 };
  for (const row of readWindow(window, now, seconds)) {
    sum.total += row.total;
    sum.failures += row.failures;
    sum.latency += row.latency[2] ?? 0;
  }
  return sum;
}

test("totals become differences, and leave the window with time", () => {
  const window = createWindow();
  takeIn(window, message([edge(10, 1)]), "web", start + 5);
  takeIn(window, message([edge(25, 2)]), "web", start + 15);
  assert.deepEqual(counted(window, start + 16), { total: 25, failures: 2, latency: 25 });
  assert.deepEqual(counted(window, start + 16, 5), { total: 15, failures: 1, latency: 15 });
  assert.deepEqual(counted(window, start + 36), { total: 15, failures: 1, latency: 15 });
  assert.deepEqual(counted(window, start + 46), { total: 0, failures: 0, latency: 0 });
});

test("a lost message loses nothing", () => {
  const window = createWindow();
  takeIn(window, message([edge(10)]), "web", start + 1);
  takeIn(window, message([edge(40)]), "web", start + 3);
  assert.equal(counted(window, start + 4).total, 40);
});

test("what an old worker counted before it was first heard of is not of this window", () => {
  const window = createWindow();
  takeIn(window, message([edge(5000)]), "web", start + 3600);
  assert.equal(counted(window, start + 3601).total, 0);
  takeIn(window, message([edge(5007)]), "web", start + 3602);
  assert.equal(counted(window, start + 3603).total, 7);
});

test("a worker that was restarted counts from zero; a late message of the old one is refused", () => {
  const window = createWindow();
  takeIn(window, message([edge(100)]), "web", start + 2);
  takeIn(window, message([edge(7)], { startedAt: start + 3 }), "web", start + 4);
  assert.equal(counted(window, start + 5).total, 107);
  assert.match(takeIn(window, message([edge(101)]), "web", start + 5) ?? "", /replaced/);
  assert.equal(counted(window, start + 5).total, 107);
});

test("an edge that a message no longer has stays for the rest of the window", () => {
  const window = createWindow();
  takeIn(window, message([edge(100)]), "web", start + 2);
  takeIn(window, message([edge(1, 0, { pod: "catalog-2" })], { startedAt: start + 3 }), "web", start + 4);
  assert.equal(counted(window, start + 5).total, 101);
  takeIn(window, message([edge(2)], { startedAt: start + 3 }), "web", start + 6);
  assert.equal(counted(window, start + 7).total, 103);
  takeIn(window, message([edge(2)], { startedAt: start + 3 }), "web", start + 40);
  assert.equal(window.edges, 1);
});

test("an edge that was dropped and made again does not count twice", () => {
  const window = createWindow();
  takeIn(window, message([edge(100)]), "web", start + 2);
  takeIn(window, message([edge(3)]), "web", start + 3);
  takeIn(window, message([edge(5)]), "web", start + 4);
  assert.equal(counted(window, start + 5).total, 102);
});

test("edges that look the same are one: several ports of one pod", () => {
  const window = createWindow();
  takeIn(window, message([edge(3), edge(4)]), "web", start + 1);
  takeIn(window, message([edge(5), edge(4)]), "web", start + 2);
  assert.equal(readWindow(window, start + 3, 30).length, 1);
  assert.equal(counted(window, start + 3).total, 9);
});

test("workers of one pod are counted together", () => {
  const window = createWindow();
  takeIn(window, message([edge(3)]), "web", start + 1);
  takeIn(window, message([edge(4)], { worker: 1 }), "web", start + 1);
  assert.equal(counted(window, start + 2).total, 7);
});

test("many messages within one second take the memory of one", () => {
  const window = createWindow();
  for (let i = 1; i <= 1000; i++) {
    takeIn(window, message([edge(i)]), "web", start + 1);
  }
  const [sender] = window.senders.values();
  const [followed] = sender?.edges.values() ?? [];
  assert.equal(followed?.slots.length, 1);
  assert.deepEqual(followed?.slots[0]?.latency, [2, 1000]);
});

test("senders and edges are limited", () => {
  const window = createWindow({ senders: 2, edges: 3 });
  assert.equal(takeIn(window, message([edge(1)]), "web", start), undefined);
  assert.equal(takeIn(window, message([edge(1)], { pod: "web-2" }), "web", start), undefined);
  assert.match(
    takeIn(window, message([edge(1)], { pod: "web-3" }), "web", start) ?? "",
    /more than 2 sidecars/,
  );
  const three = ["a", "b", "c"].map((pod) => edge(1, 0, { pod }));
  assert.match(takeIn(window, message(three), "web", start) ?? "", /more than 3 edges/);
  assert.equal(window.edges, 2);
});

test("those who are gone are forgotten when they have left the window", () => {
  const window = createWindow();
  takeIn(window, message([edge(1)]), "web", start);
  forget(window, start + 20, () => true);
  assert.equal(window.senders.size, 1);
  forget(window, start + 31, () => false);
  assert.equal(window.senders.size, 1);
  forget(window, start + 31, () => true);
  assert.equal(window.senders.size, 0);
  assert.equal(window.edges, 0);
});
