import assert from "node:assert/strict";
import { test } from "node:test";
import { environmentOf, expand } from "./container-environment.ts";

const pod = {
  namespace: "shop",
  name: "web-0",
  address: "10.64.1.1",
  serviceAccount: "web",
  labels: { app: "web" },
  annotations: { "a/b": "c" },
};

test("references to variables", () => {
  const cases: readonly [string, string][] = [
    ["http://$(HOST):$(PORT)/", "http://web:80/"],
    ["$(NOBODY)", "$(NOBODY)"],
    ["$$(HOST)", "$(HOST)"],
    ["$HOST ${HOST} $", "$HOST ${HOST} $"],
    ["$(toString)", "$(toString)"],
  ];
  for (const [text, expected] of cases) {
    assert.equal(expand(text, { HOST: "web", PORT: "80" }), expected, text);
  }
});

test("values, fields of the pod, keys of ConfigMaps, and variables before it", () => {
  const fieldRef = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
  const variables = [
    { name: "A", value: "1" },
    { name: "B", value: "$(A)$(C)" },
    { name: "C", value: "later" },
    { name: "POD", ...fieldRef("metadata.name") },
    { name: "NS", ...fieldRef("metadata.namespace") },
    { name: "IP", ...fieldRef("status.podIP") },
    { name: "APP", ...fieldRef("metadata.labels['app']") },
    { name: "NOTE", ...fieldRef("metadata.annotations['a/b']") },
    { name: "KEY", valueFrom: { configMapKeyRef: { name: "config", key: "k" } } },
  ];
  const configMaps = new Map([["shop/config", { k: "v" }]]);
  const environment = environmentOf({ name: "web", env: variables }, pod, { PATH: "/bin" }, configMaps);
  assert.deepEqual(environment, {
    PATH: "/bin",
    HOSTNAME: "web-0",
    A: "1",
    B: "1$(C)",
    C: "later",
    POD: "web-0",
    NS: "shop",
    IP: "10.64.1.1",
    APP: "web",
    NOTE: "c",
    KEY: "v",
  });
});
