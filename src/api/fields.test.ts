import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type LabelSelector, selects } from "./fields.ts";

const labels = { app: "web", tier: "front" };

function expression(
  key: string,
  operator: "In" | "NotIn" | "Exists" | "DoesNotExist",
  values?: string[],
): LabelSelector {
  return { matchExpressions: [values === undefined ? { key, operator } : { key, operator, values }] };
}

const cases: readonly [string, LabelSelector, boolean][] = [
  ["nothing asked", {}, true],
  ["equal", { matchLabels: { app: "web" } }, true],
  ["one of two differs", { matchLabels: { app: "web", tier: "back" } }, false],
  ["missing", { matchLabels: { other: "x" } }, false],
  ["In", expression("app", "In", ["api", "web"]), true],
  ["In, none of them", expression("app", "In", ["api"]), false],
  ["NotIn", expression("app", "NotIn", ["web"]), false],
  ["NotIn, missing", expression("other", "NotIn", ["web"]), true],
  ["Exists", expression("tier", "Exists"), true],
  ["Exists, only by nature", expression("toString", "Exists"), false],
  ["DoesNotExist", expression("tier", "DoesNotExist"), false],
];

for (const [name, selector, expected] of cases) {
  test(`selector: ${name}`, () => assert.equal(selects(selector, labels), expected));
}
