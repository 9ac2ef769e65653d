import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { readExposition, type Family, type Sample } from "../../../test/sidecar/exposition-format.ts";
import { latencyBuckets } from "../../wire/messages.ts";
import { exposition } from "./exposition.ts";
import {
  createStatistics,
  findEdge,
  record,
  recordTimes,
  type Edge,
  type EdgeOptions,
} from "./statistics.ts";

const to: EdgeOptions = {
  direction: "to",
  protocol: "http",
  workload: { namespace: "shop", kind: "deployment", name: "web" },
  service: "shop/web",
  pod: "web-1",
  mtls: true,
  upstream: "service shop/web port 80",
  server: "10.0.1.1:8080",
};
const from: EdgeOptions = {
  direction: "from",
  protocol: "grpc",
  identity: "spiffe://example.org/ns/shop/sa/client",
  mtls: true,
  upstream: "application port 8080",
  server: "8080",
};
const tcp: EdgeOptions = {
  ...to,
  protocol: "tcp",
  upstream: "service shop/db port 5432",
  server: "10.0.1.2:5432",
};

function counted(
  list: readonly (readonly [EdgeOptions, ...(readonly [status: number, ms: number][])])[],
): Edge[] {
  const statistics = createStatistics();
  for (const [options, ...requests] of list) {
    const edge = findEdge(statistics, options);
    for (const [status, ms] of requests) {
      record(statistics, edge, status, ms * 1000, 100, 7);
      recordTimes(edge, 1000, ms * 500);
    }
  }
  return statistics.edges;
}

const edges = counted([
  [to, [200, 3], [200, 70_000], [404, 1], [503, 30]],
  [{ ...to, server: "10.0.1.9:8080", pod: "web-2" }, [200, 12.3456]],
  [from, [200, 5]],
  [tcp, [200, 1000], [502, 2]],
]);
const page = exposition({ active: 17, droppedRequests: 0, edges });
const families = new Map(readExposition(page).map((family): [string, Family] => [family.name, family]));

function samples(family: string, labels: Readonly<Record<string, string>>): Sample[] {
  const found = families.get(family)?.samples ?? [];
  return found.filter((sample) =>
    Object.entries(labels).every(([name, value]) => sample.labels[name] === value),
  );
}

function values(family: string, labels: Readonly<Record<string, string>> = {}): number[] {
  return samples(family, labels).map(({ value }) => value);
}

test("the families are those of the reference", () => {
  assert.deepEqual(
    [...families.values()].map(({ name, type }) => `${name} ${type}`),
    [
      "nginxplus_connections_active gauge",
      "nginxplus_http_requests_total counter",
      "nginxplus_upstream_server_requests counter",
      "nginxplus_upstream_server_responses counter",
      "nginxplus_upstream_server_response_latency_ms histogram",
      "nginxplus_stream_upstream_server_sent counter",
      "nginxplus_stream_upstream_server_received counter",
      "nginxplus_stream_upstream_server_connections counter",
      "nginxplus_stream_upstream_server_connect_time gauge",
      "nginxplus_stream_upstream_server_first_byte_time gauge",
      "nginxplus_stream_upstream_server_response_time gauge",
    ],
  );
});

test("values of HTTP and gRPC", () => {
  const server = "10.0.1.1:8080";
  assert.deepEqual(values("nginxplus_connections_active"), [17]);
  assert.deepEqual(values("nginxplus_http_requests_total"), [6]);
  assert.deepEqual(values("nginxplus_upstream_server_requests", { server }), [4]);
  const classes = samples("nginxplus_upstream_server_responses", { server });
  assert.deepEqual(
    classes.map(({ labels, value }) => `${labels["code"]} ${value}`),
    ["1xx 0", "2xx 2", "3xx 0", "4xx 1", "5xx 1"],
  );
  const latency = samples("nginxplus_upstream_server_response_latency_ms", { server, code: "200" });
  const bucket = (le: string): number | undefined => latency.find(({ labels }) => labels["le"] === le)?.value;
  assert.deepEqual([bucket("2"), bucket("3"), bucket("60000"), bucket("+Inf")], [0, 1, 1, 2]);
  assert.equal(latency.length, latencyBuckets.length + 3);
  assert.deepEqual(
    latency.slice(-2).map(({ value }) => value),
    [70_003, 2],
  );
});

test("requests on edges that are there no more stay in the sum", () => {
  const text = exposition({ active: 0, droppedRequests: 1000, edges });
  const [requests] = readExposition(text).filter(({ name }) => name === "nginxplus_http_requests_total");
  assert.equal(requests?.samples[0]?.value, 1006);
});

test("values of TCP: sent is what the server got", () => {
  const stream = (name: string): number[] => values(`nginxplus_stream_upstream_server_${name}`);
  assert.deepEqual([stream("sent"), stream("received"), stream("connections")], [[14], [200], [2]]);
  assert.deepEqual(
    [stream("connect_time"), stream("first_byte_time"), stream("response_time")],
    [[1], [250.5], [501]],
  );
});

test("labels by direction and by kind of workload", () => {
  const labelsOf = (options: EdgeOptions): Readonly<Record<string, string>> => {
    const text = exposition({ active: 0, droppedRequests: 0, edges: counted([[options, [200, 1]]]) });
    return readExposition(text).find(({ name }) => name === "nginxplus_upstream_server_requests")!.samples[0]!
      .labels;
  };
  const common = { upstream: to.upstream, server: to.server, dst_pod: "web-1", dst_service: "web" };
  for (const kind of ["deployment", "statefulset", "daemonset"]) {
    const workload = { namespace: "shop", kind, name: "web" };
    assert.deepEqual(labelsOf({ ...to, workload }), {
      ...common,
      dst_namespace: "shop",
      [`dst_${kind}`]: "web",
    });
  }
  const pod = { namespace: "shop", kind: "pod", name: "web-1" };
  assert.deepEqual(labelsOf({ ...to, workload: pod }), { ...common, dst_namespace: "shop" });
  assert.deepEqual(labelsOf({ ...to, workload: { ...pod, namespace: "other" } }), {
    ...common,
    dst_namespace: "other",
  });
  assert.deepEqual(labelsOf({ ...to, workload: undefined }), { ...common, dst_namespace: "shop" });
  assert.deepEqual(labelsOf({ ...to, workload: undefined, service: "" }), { ...common, dst_service: "" });
  assert.deepEqual(labelsOf(from), { upstream: from.upstream, server: "8080", src_identity: from.identity });
});

test("values of labels are escaped", () => {
  const nasty = 'a"b\\c\nd\\n';
  const text = exposition({
    active: 0,
    droppedRequests: 0,
    edges: counted([[{ ...to, pod: nasty, service: nasty }, [200, 1]]]),
  });
  const requests = readExposition(text).find(({ name }) => name === "nginxplus_upstream_server_requests");
  assert.equal(requests?.samples[0]?.labels["dst_pod"], nasty);
});

test("edges with equal labels are one series", () => {
  const twice = counted([
    [to, [200, 1], [200, 2]],
    [{ ...to, mtls: false }, [200, 3]],
    [{ ...to, protocol: "grpc" }, [503, 3]],
    [tcp, [200, 1]],
    [{ ...tcp, mtls: false }, [200, 1]],
    [{ ...to, protocol: "tcp" }, [200, 1]],
  ]);
  const read = readExposition(exposition({ active: 0, droppedRequests: 0, edges: twice }));
  const value = (name: string): number[] =>
    read.find((family) => family.name === name)!.samples.map((sample) => sample.value);
  assert.deepEqual(value("nginxplus_upstream_server_requests"), [4]);
  assert.deepEqual(value("nginxplus_stream_upstream_server_connections"), [2, 1]);
  assert.equal(twice[0]?.total, 2, "what is counted stays as it was");
});

test("nothing counted: only the two families of the whole, and no edge that never counted", () => {
  const statistics = createStatistics();
  findEdge(statistics, to);
  for (const none of [[], statistics.edges]) {
    const names = readExposition(exposition({ active: 0, droppedRequests: 0, edges: none })).map(
      ({ name }) => name,
    );
    assert.deepEqual(names, ["nginxplus_connections_active", "nginxplus_http_requests_total"]);
  }
});

/** The names are those of NSM's exporter, for existing dashboards; promtool would like others. */
const remarksOnNames = /should have "_total" suffix|should not contain abbreviated units/;

test("promtool finds nothing but names that it would choose otherwise", (t) => {
  const run = spawnSync("promtool", ["check", "metrics"], { input: page, encoding: "utf8" });
  if (run.error !== undefined) {
    t.skip("promtool is not installed (Debian package prometheus)");
    return;
  }
  const remarks = `${run.stdout}${run.stderr}`.split("\n").filter((line) => line !== "");
  assert.deepEqual(
    remarks.filter((line) => !remarksOnNames.test(line)),
    [],
  );
  assert.ok(run.status === 0 || run.status === 3, `exit status ${run.status}`);
});
