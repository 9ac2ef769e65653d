import assert from "node:assert/strict";
import { test } from "node:test";
import { EnvironmentError, environmentOf, expand } from "./container-environment.ts";

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

test("all keys of ConfigMaps, with a prefix, before the container's own variables", () => {
  const envFrom = [
    { configMapRef: { name: "config" } },
    { prefix: "P_", configMapRef: { name: "config" } },
    { configMapRef: { name: "none", optional: true } },
  ];
  const env = [{ name: "B", value: "own $(A)" }];
  const configMaps = new Map([["shop/config", { A: "a", B: "b" }]]);
  const environment = environmentOf({ name: "web", env, envFrom }, pod, {}, configMaps);
  assert.deepEqual(environment, { HOSTNAME: "web-0", A: "a", B: "own a", P_A: "a", P_B: "b" });
});

test("a ConfigMap or a key that is not there is an error with its field, unless it is optional", () => {
  const key = (name: string, optional = false) => ({
    env: [{ name: "KEY", valueFrom: { configMapKeyRef: { name, key: "k", optional } } }],
  });
  const configMaps = new Map([["shop/config", { other: "v" }]]);
  const cases: readonly [object, RegExp][] = [
    [key("none"), /container web waits: env\["KEY"\]: ConfigMap shop\/none does not exist/],
    [key("config"), /env\["KEY"\]: ConfigMap shop\/config has no key "k"/],
    [{ envFrom: [{ configMapRef: { name: "none" } }] }, /envFrom: ConfigMap shop\/none does not exist/],
  ];
  for (const [container, expected] of cases) {
    assert.throws(
      () => environmentOf({ name: "web", ...container }, pod, {}, configMaps),
      (error) => error instanceof EnvironmentError && expected.test(error.message),
    );
  }
  for (const container of [key("none", true), key("config", true)]) {
    assert.equal(environmentOf({ name: "web", ...container }, pod, {}, configMaps)["KEY"], "");
  }
});

test("a host name is a pod's name, cut where Linux has no room", () => {
  const name = `${"a".repeat(62)}-web-0`;
  assert.equal(environmentOf({ name: "web" }, { ...pod, name }, {}, new Map())["HOSTNAME"], "a".repeat(62));
});
