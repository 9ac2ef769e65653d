import assert from "node:assert/strict";
import { test } from "node:test";
import { parseKubernetesYaml } from "./yaml.ts";

/** What `kubectl annotate --local --filename FILE a=b --output json` makes of them. */
const readings: readonly (readonly [string, unknown])[] = [
  ["0400", 256],
  ["00644", 420],
  ["0_4", 4],
  ["-017", -15],
  ["0o400", 256],
  ["0899", 899],
  ["08", 8],
  ["1_000", 1000],
  ["0b11", 3],
  ["0x1F", 31],
  ["+12", 12],
  ["1.50", 1.5],
  ["1_0.5", 10.5],
  [".5", 0.5],
  ["5.", 5],
  ["1e3", 1000],
  ["1E+3", 1000],
  ["y", true],
  ["N", false],
  ["on", true],
  ["Off", false],
  ["YES", true],
  ["no", false],
  ["True", true],
  ["~", null],
  ["Null", null],
  ["1:30", "1:30"],
  ["190:20:30.15", "190:20:30.15"],
  ["2024-01-01", "2024-01-01"],
  ["2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"],
  ["=", "="],
  ["oN", "oN"],
  [".inf_", ".inf_"],
  ['"off"', "off"],
  ["'0400'", "0400"],
];

test("values are what kubectl makes of them, and are written as they were", () => {
  for (const [text, value] of readings) {
    const [document] = parseKubernetesYaml(`a: ${text}\n`);
    assert.deepEqual(document!.toJS(), { a: value }, text);
    assert.equal(document!.toString(), `a: ${text}\n`);
  }
});

test("keys are strings of what kubectl reads", () => {
  const [document] = parseKubernetesYaml("y: 1\n0400: 2\n");
  assert.deepEqual(document!.toJS(), { true: 1, 256: 2 });
});

test("new strings are quoted when a reader of YAML 1.1 would take them for something else", () => {
  const ambiguous = readings.flatMap(([, value]) => (typeof value === "string" ? [] : [String(value)]));
  const dates = ["1:30", "190:20:30.15", "2024-01-01", "2024-01-01T10:00:00Z", "0400", "off", "y", "~", ""];
  const [document] = parseKubernetesYaml("a: 1\n");
  for (const text of [...ambiguous, ...dates]) {
    document!.contents = document!.createNode({ [text]: text }) as never;
    assert.equal(document!.toString(), `${JSON.stringify(text)}: ${JSON.stringify(text)}\n`);
  }
  document!.contents = document!.createNode({ plain: "1.2.3", number: 420, yes: true }) as never;
  assert.equal(document!.toString(), 'plain: 1.2.3\nnumber: 420\n"yes": true\n');
});
