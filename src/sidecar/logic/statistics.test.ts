import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { latencyBuckets } from "../../wire/messages.ts";
import {
  createStatistics,
  findEdge,
  prune,
  record,
  recordTimes,
  type Edge,
  type EdgeOptions,
  type Statistics,
} from "./statistics.ts";

const options: EdgeOptions = {
  direction: "to",
  protocol: "http",
  service: "shop/web",
  pod: "web-1",
  mtls: true,
  upstream: "service shop/web port 80",
  server: "10.0.1.1:8080",
};

function naiveBucket(ms: number): number {
  const found = latencyBuckets.findIndex((bound) => ms <= bound);
  return found < 0 ? latencyBuckets.length : found;
}

/** Durations in microseconds, many of them at the bounds. */
const duration = fc.oneof(
  fc.nat(100_000),
  fc.nat(120_000_000),
  fc
    .tuple(fc.constantFrom(...latencyBuckets), fc.integer({ min: -1, max: 1 }))
    .map(([bound, off]) => bound * 1000 + off),
);
const status = fc.constantFrom(0, 101, 200, 204, 301, 404, 429, 499, 500, 502, 503, 599);
const requests = fc.array(fc.record({ status, duration, sent: fc.nat(1e6), received: fc.nat(1e6) }), {
  maxLength: 100,
});

test("counts, sums and buckets agree with a naive count of the same requests", () => {
  fc.assert(
    fc.property(requests, (list) => {
      const statistics = createStatistics();
      const edge = findEdge(statistics, options);
      for (const request of list) {
        record(statistics, edge, request.status, request.duration, request.sent, request.received);
      }
      assert.equal(edge.total, list.length);
      assert.equal(statistics.total, list.length);
      assert.equal(
        edge.failures,
        list.filter((request) => request.status >= 500 || request.status === 0).length,
      );
      assert.equal(
        edge.sent,
        list.reduce((sum, { sent }) => sum + sent, 0),
      );
      assert.equal(
        edge.received,
        list.reduce((sum, { received }) => sum + received, 0),
      );
      const byStatus = Map.groupBy(list, (request) => request.status);
      assert.deepEqual(Object.keys(edge.statuses).map(Number).toSorted(), [...byStatus.keys()].toSorted());
      for (const [code, group] of byStatus) {
        const entry = edge.statuses[code]!;
        const latency = Array.from({ length: latencyBuckets.length + 1 }, () => 0);
        group.forEach((request) => latency[naiveBucket(request.duration / 1000)]!++);
        assert.deepEqual(entry.latency, latency);
        assert.equal(entry.count, group.length);
        assert.ok(
          Math.abs(entry.sum - group.reduce((sum, request) => sum + request.duration / 1000, 0)) < 1e-6,
        );
      }
    }),
  );
});

test("each bound belongs to its own bucket, and what is above it to the next", () => {
  for (const [i, bound] of latencyBuckets.entries()) {
    const statistics = createStatistics();
    const edge = findEdge(statistics, options);
    record(statistics, edge, 200, bound * 1000, 0, 0);
    record(statistics, edge, 200, bound * 1000 + 1, 0, 0);
    assert.deepEqual(edge.statuses[200]!.latency.slice(i, i + 2), [1, 1], `${bound} ms`);
  }
  const statistics = createStatistics();
  const edge = findEdge(statistics, options);
  record(statistics, edge, 200, 0, 0, 0);
  assert.equal(edge.statuses[200]!.latency[0], 1);
});

test("times of connections and first bytes count only when there were some", () => {
  const edge = findEdge(createStatistics(), options);
  recordTimes(edge, 1500, -1);
  recordTimes(edge, -1, 4000);
  recordTimes(edge, 0, 0);
  assert.deepEqual([edge.connectTime, edge.connects, edge.firstByteTime, edge.firstBytes], [1.5, 2, 4, 2]);
});

test("an edge is found again by everything that tells it apart", () => {
  const statistics = createStatistics();
  const edge = findEdge(statistics, options);
  assert.equal(findEdge(statistics, { ...options }), edge);
  const different: readonly Partial<EdgeOptions>[] = [
    { direction: "from" },
    { protocol: "grpc" },
    { pod: "web-2" },
    { identity: "spiffe://example.org/ns/shop/sa/web" },
    { mtls: false },
    { upstream: "service shop/api port 80" },
    { server: "10.0.1.2:8080" },
  ];
  for (const change of different) {
    assert.notEqual(findEdge(statistics, { ...options, ...change }), edge, JSON.stringify(change));
  }
  assert.equal(statistics.edges.length, 1 + different.length);
});

test("an edge is found without a look at all others", () => {
  const statistics = createStatistics();
  let looks = 0;
  for (let i = 0; i < 1000; i++) {
    const edge = findEdge(statistics, { ...options, server: `${i}` });
    const { server } = edge;
    Object.defineProperty(edge, "server", { get: () => ((looks += 1), server) });
  }
  findEdge(statistics, { ...options, server: "999" });
  assert.equal(statistics.edges.length, 1000);
  assert.ok(looks < 10, `${looks} looks`);
});

function withEdges(list: readonly { references: number; total: number }[]): Statistics {
  const statistics = createStatistics();
  list.forEach(({ references, total }, i) => {
    Object.assign(findEdge(statistics, { ...options, server: `${i}` }), { references, total });
  });
  return statistics;
}

function names(edges: readonly Edge[]): string {
  return edges.map(({ server }) => server).join("");
}

test("edges go when nothing counts on them: those without counts always, others above the limit, oldest first", () => {
  const list = [
    { references: 1, total: 0 },
    { references: 0, total: 0 },
    { references: 0, total: 5 },
    { references: 2, total: 5 },
    { references: 0, total: 7 },
  ];
  for (const [limit, kept] of [
    [10, "0234"],
    [4, "0234"],
    [3, "034"],
    [2, "03"],
    [0, "03"],
  ] as const) {
    const statistics = withEdges(list);
    prune(statistics, limit);
    assert.equal(names(statistics.edges), kept, `limit ${limit}`);
  }
});

test("an edge that was dropped is a new one when it comes back, and its requests stay in the sum", () => {
  const statistics = createStatistics();
  const tcp = findEdge(statistics, { ...options, protocol: "tcp" });
  const [http, grpc] = [
    findEdge(statistics, options),
    findEdge(statistics, { ...options, protocol: "grpc" }),
  ];
  [tcp, http, http, grpc].forEach((edge) => record(statistics, edge, 200, 1, 1, 1));
  prune(statistics, 1);
  assert.deepEqual([statistics.edges, statistics.droppedRequests], [[grpc], 2]);
  assert.equal(findEdge(statistics, { ...options, protocol: "grpc" }), grpc);
  assert.equal(findEdge(statistics, options).total, 0);
  prune(statistics, 0);
  assert.deepEqual([statistics.edges, statistics.droppedRequests], [[], 3]);
});
