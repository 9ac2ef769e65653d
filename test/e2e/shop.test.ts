/** The example shop and what the tools say of it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { faultsOfMesh, faultsOfTraffic, shareOf } from "../../tools/demo/figures.ts";
import { read, type Report, readReport, statisticsWindow } from "../../tools/demo/readings.ts";
import { startMesh, type TestMesh } from "./mesh.ts";

const shop = join(import.meta.dirname, "../../examples/shop");
let mesh: TestMesh;
let begin: Report;

function manifests(): Record<string, string> {
  const folder = join(shop, "manifests");
  return Object.fromEntries(
    readdirSync(folder).map((file) => [
      file,
      readFileSync(join(folder, file), "utf8").replaceAll("workingDir: ../apps", `workingDir: ${shop}/apps`),
    ]),
  );
}

before(async () => {
  mesh = await startMesh(manifests());
  begin = await readReport(mesh.layout.state);
});

after(() => mesh.stop());

async function tool(...args: readonly string[]): Promise<string> {
  const ended = await mesh.meshctl(...args);
  assert.equal(ended.status, 0, ended.stderr);
  return ended.stdout;
}

test("every answer is right and every exchange within the mesh is encrypted", async () => {
  await sleep((statisticsWindow + 2) * 1000);
  const { report, traffic } = await read(mesh.layout.state);
  assert.deepEqual(faultsOfTraffic(begin, report), []);
  assert.deepEqual(faultsOfMesh(traffic), []);
});

test("status: all is well", async () => {
  const text = await tool("status");
  assert.match(text, /NATS +connected/);
  assert.match(text, /Pods +17 of 17 ready, 17 in the mesh/);
  assert.match(text, /Problems +none/);
  assert.equal(JSON.parse(await tool("status", "-o", "json")).ok, true);
});

test("top: deployments, one of them, and other kinds", async () => {
  const deployments = await tool("top", "-n", "shop");
  assert.match(deployments, /^Deployment +Incoming Success +Outgoing Success +NumRequests\n/);
  for (const name of ["catalog-v1", "catalog-v2", "events", "ledger", "notifications", "pricing"]) {
    assert.match(deployments, new RegExp(`^${name} +100\\.00% +\\d+$`, "m"));
  }
  assert.match(deployments, /^web +100\.00% +100\.00% +\d+$/m);
  const web = await tool("top", "-n", "shop", "deploy/web");
  assert.match(web, /^Deployment +Direction +Resource +Success Rate +P99 +P90 +P50 +NumRequests\nweb\n/);
  assert.match(web, /^ +To +pricing +100\.00% +[\d.]+ms +[\d.]+ms +[\d.]+ms +\d+$/m);
  assert.match(web, /^ +From +traffic +100\.00% /m);
  assert.match(await tool("top", "-n", "shop", "statefulsets"), /^cache +100\.00% +\d+$/m);
  // With the failures of clients that came before the services had started.
  assert.match(await tool("top", "namespaces"), /^shop +[\d.]+% +[\d.]+% +\d+$/m);
});

test("services, config and version", async () => {
  assert.match(
    await tool("services"),
    /^shop\/catalog +80 +http +[\d.]+ +8080 +catalog-v1-\S+ +catalog-v1:90 catalog-v2:10$/m,
  );
  const config = JSON.parse(await tool("config"));
  assert.ok(config.keys["service.shop.catalog"]);
  assert.match(await tool("version"), /^nginx-mesh-sidecar - v/m);
});

test("the split follows its manifest", async () => {
  const text = readFileSync(join(shop, "manifests/catalog-split.yaml"), "utf8");
  for (const weights of [
    { v1: 20, v2: 80 },
    { v1: 0, v2: 1 },
  ]) {
    const changed = text
      .replace("weight: 90", `weight: ${weights.v1}`)
      .replace("weight: 10", `weight: ${weights.v2}`);
    mesh.write("catalog-split.yaml", changed);
    await sleep(300);
    const from = await readReport(mesh.layout.state);
    await sleep(4000);
    const share = shareOf(weights, from, await readReport(mesh.layout.state));
    assert.ok(share.ok, JSON.stringify(share));
  }
  assert.deepEqual(faultsOfTraffic(begin, await readReport(mesh.layout.state)), []);
});

test("a manifest that is wrong shows in the status, and everything else goes on", async () => {
  mesh.write(
    "wrong.yaml",
    "apiVersion: split.smi-spec.io/v1alpha3\nkind: TrafficSplit\nmetadata: {name: x, namespace: shop}\nspec: {service: nowhere, backends: [{service: web, weight: 1}]}\n",
  );
  let ended = await mesh.meshctl("status");
  for (let tries = 0; ended.status === 0 && tries < 50; tries++) {
    await sleep(50);
    ended = await mesh.meshctl("status");
  }
  assert.equal(ended.status, 1);
  assert.match(ended.stdout, /^error: TrafficSplit shop\/x: .*nowhere/m);
  mesh.write("wrong.yaml", undefined);
  assert.deepEqual(faultsOfTraffic(begin, await readReport(mesh.layout.state)), []);
});
