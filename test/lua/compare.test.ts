import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { before, test } from "node:test";
import * as address from "../../src/sidecar/logic/address.ts";
import * as balancer from "../../src/sidecar/logic/balancer.ts";
import * as exposition from "../../src/sidecar/logic/exposition.ts";
import * as housekeeping from "../../src/sidecar/logic/housekeeping.ts";
import * as incoming from "../../src/sidecar/logic/incoming.ts";
import * as keys from "../../src/sidecar/logic/keys.ts";
import * as mesh from "../../src/sidecar/logic/mesh.ts";
import * as outgoing from "../../src/sidecar/logic/outgoing.ts";
import * as publication from "../../src/sidecar/logic/publication.ts";
import * as route from "../../src/sidecar/logic/route.ts";
import * as settle from "../../src/sidecar/logic/settle.ts";
import * as statistics from "../../src/sidecar/logic/statistics.ts";
import * as wireKeys from "../../src/wire/keys.ts";
import { readExposition } from "../sidecar/exposition-format.ts";
import { seeded } from "../sidecar/random.ts";
import { buildScenarios, driver } from "./built.ts";
import { addressScenario, balancerScenario, routeScenario, statisticsScenario } from "./generate.ts";
import { meshScenario, methods } from "./generate-mesh.ts";
import type { Random } from "./draw.ts";
import { run, type Logic, type Result, type Scenario } from "./scenarios.ts";

const logic: Logic = {
  address,
  balancer,
  exposition,
  housekeeping,
  incoming,
  keys,
  mesh,
  outgoing,
  publication,
  route,
  settle,
  statistics,
  wireKeys,
};

let luaPath = "";

before(() => {
  luaPath = buildScenarios();
});

function runUnderLua(scenarios: readonly Scenario[]): Result[] {
  const input = scenarios.map((scenario) => `${JSON.stringify(scenario)}\n`).join("");
  const luajit = spawnSync("luajit", [driver], {
    input,
    encoding: "utf8",
    env: { ...process.env, LUA_PATH: luaPath },
    maxBuffer: 2 ** 30,
  });
  assert.equal(luajit.error, undefined, "luajit must be installed (Debian package luajit)");
  assert.equal(luajit.status, 0, luajit.stderr);
  const lines = luajit.stdout.split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Result);
}

function close(a: number | string | undefined, b: number | string | undefined): boolean {
  // the exponential functions of the two differ in the last bit
  return typeof a === "number" && typeof b === "number"
    ? Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a))
    : a === b;
}

function compareValues(inLua: Result, inNode: Result, title: string): void {
  const at = inNode.values.findIndex((value, i) => !close(value, inLua.values[i]));
  if (at >= 0 || inLua.values.length !== inNode.values.length) {
    const from = Math.max(0, at - 12);
    assert.deepEqual(inLua.values.slice(from, at + 1), inNode.values.slice(from, at + 1), title);
    assert.equal(inLua.values.length, inNode.values.length, title);
  }
}

/** Series and values; series of one family may come in another order. */
function seriesOf(text: string): (readonly [string, number])[] {
  const series = readExposition(text).flatMap(({ name, type, samples }) =>
    samples.map((sample) => [`${name} ${type} ${JSON.stringify(sample)}`, sample.value] as const),
  );
  return series
    .map(([title, value]) => [title.replace(/"value":[^}]*/, ""), value] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function compareTexts(inLua: Result, inNode: Result, title: string): void {
  assert.equal(inLua.texts.length, inNode.texts.length);
  inLua.texts.forEach((text, i) => {
    const [lua, node] = [seriesOf(text), seriesOf(inNode.texts[i]!)];
    assert.deepEqual(
      lua.map(([name]) => name),
      node.map(([name]) => name),
      title,
    );
    // a value is cut off at three decimals, and Lua writes 14 digits
    node.forEach(([name, value], j) => {
      assert.ok(Math.abs(value - lua[j]![1]) <= 1.1e-3 + 1e-12 * value, `${title}: ${name}`);
    });
  });
}

function compare(count: number, generate: (random: Random, index: number) => Scenario): void {
  const scenarios = Array.from({ length: count }, (_, i) => generate(seeded(i + 1), i));
  const results = runUnderLua(scenarios);
  assert.equal(results.length, count);
  scenarios.forEach((scenario, i) => {
    const title = `${scenario.kind}, seed ${i + 1}`;
    // what Lua reads is what Node reads: without properties that are undefined
    const inNode = run(logic, JSON.parse(JSON.stringify(scenario)) as Scenario);
    assert.ok(inNode.values.length + inNode.texts.length > 0);
    compareValues(results[i]!, inNode, title);
    compareTexts(results[i]!, inNode, title);
  });
}

test("balancer", () => {
  compare(210, (random, i) => balancerScenario(random, methods[i % methods.length]!));
});

test("route", () => {
  compare(300, routeScenario);
});

test("address", () => {
  compare(300, addressScenario);
});

test("statistics, publication, exposition", () => {
  compare(60, statisticsScenario);
});

test("the whole: keys, settings, destinations, traffic both ways", () => {
  compare(200, meshScenario);
});
