/** Laws of the way from objects to configuration, on random clusters. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { runningCluster } from "../../test/fixtures/running-pods.ts";
import { identify, type MeshObject, parseObject } from "../api/objects.ts";
import type { LocalStatus } from "../cluster/local-status.ts";
import { createSnapshot } from "../cluster/snapshot.ts";
import { buildModel } from "../model/build.ts";
import type { ServiceMessage } from "../wire/messages.ts";
import { compile } from "./configuration.ts";

const settings = { trustDomain: "example.org", statisticsInterval: 1 };
const name = fc.constantFrom("a", "b", "c", "d");
const namespace = fc.constantFrom("one", "two");

const service = fc
  .record({ name, namespace, app: name, headless: fc.boolean(), port: fc.constantFrom(80, 9000) })
  .map(({ name: own, namespace: space, app, headless, port }) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: own, namespace: space },
    spec: {
      ...(headless ? { clusterIP: "None" } : {}),
      selector: { app },
      ports: [{ port, targetPort: "http" }],
    },
  }));

const deployment = fc
  .record({ name, namespace, app: name, replicas: fc.nat(3), port: fc.constantFrom(8080, 8081) })
  .map(({ name: own, namespace: space, app, replicas, port }) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: own, namespace: space },
    spec: {
      replicas,
      template: {
        metadata: { labels: { app } },
        spec: { containers: [{ name: "c", ports: [{ name: "http", containerPort: port }] }] },
      },
    },
  }));

const split = fc
  .record({ name, namespace, root: name, backends: fc.array(fc.tuple(name, fc.nat(5)), { maxLength: 3 }) })
  .map(({ name: own, namespace: space, root, backends }) => ({
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: own, namespace: space },
    spec: { service: root, backends: backends.map(([each, weight]) => ({ service: each, weight })) },
  }));

/** Objects with different names. */
const cluster = fc.array(fc.oneof(service, deployment, split), { maxLength: 20 }).map((raw) => {
  const objects = raw.map((each) => parseObject(each, "f").object!);
  return [...new Map(objects.map((object) => [identify(object), object])).values()];
});

/** Addresses that are not in the order of the names. */
function running(objects: readonly MeshObject[]): LocalStatus {
  const status = runningCluster(objects);
  const addresses = status.pods.map((pod) => pod.address).reverse();
  return { ...status, pods: status.pods.map((pod, index) => ({ ...pod, address: addresses[index]! })) };
}

function modelOf(objects: readonly MeshObject[], status: LocalStatus) {
  return buildModel(createSnapshot({ ...status, objects, problems: [] }), settings);
}

function compiled(objects: readonly MeshObject[], status: LocalStatus) {
  const model = modelOf(objects, status);
  return { ...compile(model), problems: model.problems };
}

function reversed(status: LocalStatus): LocalStatus {
  return { ...status, pods: status.pods.toReversed(), services: status.services.toReversed() };
}

test("the order of the input does not matter", () => {
  fc.assert(
    fc.property(cluster, (objects) => {
      const status = running(objects);
      assert.deepEqual(compiled(objects.toReversed(), reversed(status)), compiled(objects, status));
    }),
  );
});

test("what is added and removed again leaves the same bytes", () => {
  fc.assert(
    fc.property(cluster, cluster, (objects, others) => {
      const status = running(objects);
      const before = compiled(objects, status);
      const names = new Set(objects.map(identify));
      const more = [...objects, ...others.filter((other) => !names.has(identify(other)))];
      const between = compiled(more, running(more));
      const after = compiled(objects, status);
      assert.deepEqual(after, before);
      assert.equal(
        between.version === before.version,
        JSON.stringify([...between.keys]) === JSON.stringify([...before.keys]),
      );
    }),
  );
});

test("routes name ports that there are, weights are not all 0, endpoints are sorted", () => {
  fc.assert(
    fc.property(cluster, (objects) => {
      const { keys } = compiled(objects, running(objects));
      const services = new Map(
        [...keys]
          .filter(([key]) => key.startsWith("service."))
          .map(([key, text]): [string, ServiceMessage] => [key, JSON.parse(text) as ServiceMessage]),
      );
      for (const port of [...services.values()].flatMap((each) => each.ports)) {
        const addresses = port.endpoints.map((endpoint) => endpoint.address);
        assert.deepEqual(addresses, [...new Set(addresses)].sort());
        for (const rule of port.route?.rules ?? []) {
          assert.ok(rule.backends.reduce((sum, backend) => sum + backend.weight, 0) > 0);
          for (const backend of rule.backends) {
            const target = services.get(`service.${backend.namespace}.${backend.name}`);
            assert.ok(target?.ports.some((candidate) => candidate.port === backend.port));
          }
        }
      }
    }),
  );
});

test("every split is used or has a problem", () => {
  fc.assert(
    fc.property(cluster, (objects) => {
      const model = modelOf(objects, running(objects));
      const refused = new Set(
        model.problems.filter((problem) => problem.severity === "error").map((problem) => problem.object),
      );
      const routed = model.services.filter((each) => each.ports.some((port) => port.route !== undefined));
      const splits = objects.filter((object) => object.kind === "TrafficSplit");
      assert.equal(routed.length, splits.filter((each) => !refused.has(identify(each))).length);
    }),
  );
});

test("names with dots make keys of their own", () => {
  const raw = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "a.b" },
    spec: { ports: [{ port: 80 }] },
  };
  const objects = [parseObject(raw, "f").object!];
  assert.ok(compiled(objects, running(objects)).keys.has("service.default.a_b"));
});
