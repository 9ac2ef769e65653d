/** Who is asked about what. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { find, objectsOf, render } from "./render.ts";

const namespace = "nginx-mesh";
const defaults = objectsOf(render({}));

test("the webhook for pods asks about those that want a sidecar, and no others", () => {
  const { webhooks } = find(defaults, "MutatingWebhookConfiguration", "nginx-mesh-injection");
  type Expression = { key: string; operator: string; values: readonly string[] };
  type Labels = Readonly<Record<string, string>>;
  const holds = (labels: Labels, { key, operator, values }: Expression): boolean =>
    operator === "In" ? values.includes(labels[key] ?? "\0") : !values.includes(labels[key] ?? "\0");
  const asked = (name: string, inNamespace: Labels, onPod: Labels): number =>
    webhooks.filter(
      ({
        namespaceSelector,
        objectSelector,
      }: {
        namespaceSelector: { matchExpressions: Expression[] };
        objectSelector: { matchExpressions: Expression[] };
      }) =>
        namespaceSelector.matchExpressions.every((each) =>
          holds({ ...inNamespace, "kubernetes.io/metadata.name": name }, each),
        ) && objectSelector.matchExpressions.every((each) => holds(onPod, each)),
    ).length;
  const label = "injector.nsm.nginx.com/auto-inject";
  const yes = { [label]: "enabled" };
  const no = { [label]: "disabled" };
  const done = { "injector.nsm.nginx.com/status": "injected" };
  for (const [name, inNamespace, onPod, times] of [
    ["shop", {}, {}, 0],
    ["shop", yes, {}, 1],
    ["shop", yes, no, 0],
    ["shop", no, {}, 0],
    ["shop", no, yes, 1],
    ["shop", {}, yes, 1],
    ["shop", yes, yes, 1],
    ["shop", yes, done, 0],
    ["shop", {}, { ...yes, ...done }, 0],
    ["kube-system", yes, yes, 0],
    [namespace, yes, yes, 0],
  ] as const) {
    assert.equal(asked(name, inNamespace, onPod), times, JSON.stringify([name, inNamespace, onPod]));
  }
});

test("the validation webhook is asked for the kinds and verbs of the reference", () => {
  const { webhooks } = find(defaults, "ValidatingWebhookConfiguration", "nginx-mesh-validation");
  const rules = webhooks[0].rules.flatMap(
    ({ resources, operations }: { resources: string[]; operations: string[] }) =>
      resources.map((resource) => `${resource} ${operations.join()}`),
  );
  assert.deepEqual(rules.toSorted(), [
    "circuitbreakers CREATE,UPDATE,DELETE",
    "httproutegroups CREATE,UPDATE",
    "meshconfigs CREATE,UPDATE",
    "ratelimits CREATE,UPDATE,DELETE",
    "trafficsplits CREATE,UPDATE,DELETE",
  ]);
});
