/** What sidecars publish is what is read here, however many edges they have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { publication } from "../sidecar/logic/publication.ts";
import {
  createStatistics,
  findEdge,
  record,
  type Edge,
  type EdgeOptions,
} from "../sidecar/logic/statistics.ts";
import { statisticsSubject } from "../wire/keys.ts";
import { statisticsLimits, wireVersion } from "../wire/messages.ts";
import { parseStatistics } from "./message.ts";

const to: EdgeOptions = {
  direction: "to",
  protocol: "http",
  workload: { namespace: "shop", kind: "deployment", name: "web" },
  service: "shop/web",
  mtls: true,
  upstream: "service shop/web port 80",
  server: "",
};
const head = {
  version: wireVersion,
  namespace: "shop",
  pod: "client-1",
  workload: { namespace: "shop", kind: "deployment", name: "client" },
  worker: 0,
  startedAt: 1000,
};
const encode = (value: unknown): string => JSON.stringify(value);

function talkingTo(count: number, pod: (i: number) => string): Edge[] {
  const statistics = createStatistics();
  for (let i = 0; i < count; i++) {
    record(statistics, findEdge(statistics, { ...to, pod: pod(i), server: `${i}` }), 200, 1, 1, 1);
    findEdge(statistics, { ...to, pod: pod(i), server: `silent ${i}` });
  }
  return statistics.edges;
}

for (const [title, count, pod] of [
  ["bytes", 6000, (i: number) => `web-${"x".repeat(200)}${i}`],
  ["edges", 6000, (i: number) => `web-${i}`],
  ["neither", 10, (i: number) => `web-${i}`],
  ["not even one", 0, String],
] as const) {
  test(`a message that the reader takes, with the oldest edges: limit by ${title}`, () => {
    const edges = talkingTo(count, pod);
    const { payload, leftOut } = publication(head, edges, encode)!;
    assert.ok(payload.length <= statisticsLimits.bytes, `${payload.length} bytes`);
    const parsed = parseStatistics(statisticsSubject("shop", "client", "client-1"), Buffer.from(payload));
    assert.ok("message" in parsed, JSON.stringify(parsed));
    assert.equal(parsed.message.edges.length + leftOut, count);
    assert.deepEqual(
      parsed.message.edges.map((edge) => edge.pod),
      Array.from({ length: count - leftOut }, (_, i) => pod(i)),
    );
    assert.equal(leftOut > 0, count > 10);
  });
}
