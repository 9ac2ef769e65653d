import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "../api/core.ts";
import { mostNamedServices, serviceNames } from "./service-names.ts";

function service(
  name: string,
  namespace: string,
  selector?: Record<string, string>,
  type?: "ExternalName",
): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { ...(selector === undefined ? {} : { selector }), ...(type === undefined ? {} : { type }) },
  } as Service;
}

const services = [
  service("web", "shop", { app: "web" }),
  service("canary", "shop", { app: "web", version: "2" }),
  service("web", "other", { app: "web" }),
  service("all", "shop"),
  service("none", "shop", {}),
  service("far", "shop", { app: "web" }, "ExternalName"),
];

test("the names of all Services that select the pod, and of no other", () => {
  const web = ["web.shop", "web.shop.svc", "web.shop.svc.cluster.local"];
  const canary = ["canary.shop", "canary.shop.svc", "canary.shop.svc.cluster.local"];
  const cases: readonly (readonly [Record<string, string>, readonly string[]])[] = [
    [{ app: "web" }, web],
    [{ app: "web", version: "2" }, [...canary, ...web]],
    [{ app: "db" }, []],
    [{}, []],
  ];
  for (const [labels, names] of cases) {
    assert.deepEqual(serviceNames(services, "shop", labels), names);
  }
});

test("a pod of very many Services has the names of some of them, always the same", () => {
  const many = Array.from({ length: 10_000 }, (_, i) => service(`s${i}`, "shop", { app: "web" }));
  const names = serviceNames(many, "shop", { app: "web" });
  assert.equal(names.length, 3 * mostNamedServices);
  assert.deepEqual(serviceNames(many.toReversed(), "shop", { app: "web" }), names);
});
