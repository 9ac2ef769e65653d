import assert from "node:assert/strict";
import { test } from "node:test";
import { formatProblem } from "../api/problem.ts";
import { readManifest } from "../cluster/manifest.ts";
import { createSnapshot } from "../cluster/snapshot.ts";
import { buildModel } from "./build.ts";

function warnings(spec: object, local: boolean): string[] {
  const config = {
    apiVersion: "nsm.nginx.com/v1alpha2",
    kind: "MeshConfig",
    metadata: { name: "nginx-mesh-config", namespace: "nginx-mesh" },
    spec: { meshConfigClassName: "class", ...spec },
  };
  const { objects, problems } = readManifest(JSON.stringify(config), "mesh.yaml");
  const snapshot = createSnapshot({
    objects: objects.map(({ object }) => object),
    pods: [],
    services: [],
    serviceRanges: [],
    problems,
  });
  return buildModel(snapshot, { trustDomain: "example.org", local, statisticsInterval: 1 }).problems.map(
    (problem) => formatProblem(problem).replace("MeshConfig nginx-mesh/nginx-mesh-config: spec.", ""),
  );
}

test("fields of the MeshConfig without effect are told; local mode has flags for some", () => {
  const telemetry = { exporters: { otlp: { host: "collector" } } };
  const mtls = { mode: "strict", svidTTL: "30m", caTTL: "24h", caKeyType: "rsa-2048" };
  const everywhere = [
    "prometheusAddress: has no effect in this version: nothing is asked of a Prometheus",
    "telemetry: has no effect in this version: requests are not traced",
  ];
  const spec = { mtls, telemetry, prometheusAddress: "prometheus.monitoring:9090" };
  assert.deepEqual(warnings(spec, false), everywhere);
  assert.deepEqual(warnings(spec, true), [
    'mtls.caKeyType: has no effect in local mode: say "local up --ca-key-type"',
    'mtls.caTTL: has no effect in local mode: say "local up --ca-ttl"',
    'mtls.svidTTL: has no effect in local mode: say "local up --svid-ttl"',
    ...everywhere,
  ]);
  assert.deepEqual(warnings({ mtls: { mode: "strict" }, prometheusAddress: "" }, true), []);
});
