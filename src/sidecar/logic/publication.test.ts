import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { copyForSharing, edgeStatistics, mergeShared, type SharedEdge } from "./publication.ts";
import {
  createStatistics,
  findEdge,
  record,
  recordTimes,
  type Edge,
  type EdgeOptions,
} from "./statistics.ts";

const workload = { namespace: "shop", kind: "deployment", name: "web" };
const to: EdgeOptions = {
  direction: "to",
  protocol: "http",
  workload,
  service: "shop/web",
  pod: "web-1",
  mtls: true,
  upstream: "service shop/web port 80",
  server: "10.0.1.1:8080",
};
const from: EdgeOptions = {
  direction: "from",
  protocol: "tcp",
  identity: "spiffe://example.org/ns/shop/sa/web",
  mtls: true,
  upstream: "application port 6379",
  server: "6379",
};

interface Request {
  readonly server: number;
  readonly status: number;
  readonly duration: number;
}

const requests: fc.Arbitrary<Request[]> = fc.array(
  fc.record({ server: fc.nat(3), status: fc.constantFrom(200, 404, 503), duration: fc.nat(2_000_000) }),
);

function counted(list: readonly Request[]): Edge[] {
  const statistics = createStatistics();
  for (const { server, status, duration } of list) {
    const edge = findEdge(statistics, { ...to, server: `${server}` });
    record(statistics, edge, status, duration, 10, 20);
    recordTimes(edge, duration % 3 === 0 ? -1 : 1000, duration % 5 === 0 ? -1 : 2000);
  }
  return statistics.edges;
}

/** As another worker finds it: through JSON. */
function shared(edges: readonly Edge[]): SharedEdge[] {
  return JSON.parse(JSON.stringify(copyForSharing(edges))) as SharedEdge[];
}

function byServer(edges: readonly Edge[]): Edge[] {
  return edges.toSorted((a, b) => (a.server < b.server ? -1 : 1));
}

test("the published latencies are the sum over the statuses, and add up to the total", () => {
  fc.assert(
    fc.property(requests, (list) => {
      for (const edge of counted(list)) {
        const message = edgeStatistics(edge);
        assert.equal(
          message.latency.reduce((sum, count) => sum + count, 0),
          message.total,
        );
        const statuses = Object.values(edge.statuses);
        message.latency.forEach((count, i) => {
          assert.equal(
            count,
            statuses.reduce((sum, { latency }) => sum + latency[i]!, 0),
          );
        });
        const failures = statuses.reduce(
          (sum, { count }, i) => sum + (Number(Object.keys(edge.statuses)[i]) >= 500 ? count : 0),
          0,
        );
        assert.equal(message.failures, failures);
      }
    }),
  );
});

test("an edge says what the contract asks of its direction", () => {
  const statistics = createStatistics();
  const outgoing = edgeStatistics(findEdge(statistics, to));
  assert.deepEqual(
    { ...outgoing, latency: [] },
    {
      direction: "to",
      protocol: "http",
      mtls: true,
      total: 0,
      failures: 0,
      latency: [],
      workload,
      service: "shop/web",
      pod: "web-1",
    },
  );
  const nowhere = edgeStatistics(findEdge(statistics, { ...to, workload: undefined, server: "" }));
  assert.equal("workload" in nowhere, false);
  const incoming = edgeStatistics(findEdge(statistics, from));
  assert.deepEqual(
    { ...incoming, latency: [] },
    {
      direction: "from",
      protocol: "tcp",
      mtls: true,
      total: 0,
      failures: 0,
      latency: [],
      identity: from.identity,
    },
  );
});

test("the sum of several workers is what one worker would have counted", () => {
  fc.assert(
    fc.property(fc.array(requests, { minLength: 1, maxLength: 4 }), (workers) => {
      const merged = byServer(mergeShared(workers.map((list) => shared(counted(list)))));
      const alone = byServer(counted(workers.flat()));
      assert.equal(merged.length, alone.length);
      merged.forEach((edge, i) => {
        const { statuses, ...rest } = edge;
        const { statuses: expected, ...expectedRest } = alone[i]!;
        assert.deepEqual(JSON.parse(JSON.stringify(rest)), JSON.parse(JSON.stringify(expectedRest)));
        assert.deepEqual(Object.keys(statuses), Object.keys(expected));
        for (const [status, entry] of Object.entries(statuses)) {
          const other = expected[Number(status)]!;
          assert.deepEqual([entry.count, entry.latency], [other.count, other.latency]);
          assert.ok(Math.abs(entry.sum - other.sum) < 1e-6);
        }
      });
    }),
  );
});

test("merging changes nothing of what is merged", () => {
  const own = counted([{ server: 1, status: 200, duration: 5000 }]);
  const before = structuredClone(own);
  const others = counted([{ server: 1, status: 200, duration: 5000 }]);
  for (let scrape = 0; scrape < 3; scrape++) {
    const [edge] = mergeShared([copyForSharing(own), copyForSharing(others)]);
    assert.deepEqual([edge?.total, edge?.statuses[200]?.latency[4]], [2, 2]);
  }
  assert.deepEqual(own, before);
});

test("edges that counted nothing are not shared", () => {
  const statistics = createStatistics();
  findEdge(statistics, to);
  assert.deepEqual(copyForSharing(statistics.edges), []);
});
