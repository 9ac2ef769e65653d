/** Settings that users change in the MeshConfig itself, through upgrades and rollbacks by both Helms on a real API server. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { type LiveApi, namespace, settings, startLiveApi } from "./live.ts";
import { attempt, chart, type Ended, helms } from "./programs.ts";

const telemetry = { samplerRatio: 0.5, exporters: { otlp: { host: "collector.example", port: 4317 } } };
const install = ["install", "nginx-mesh", chart, "--create-namespace", "--set-json"];
const upgrade = ["upgrade", "nginx-mesh", chart, "--reuse-values"];

interface Settings {
  readonly mtls: { readonly mode: string; readonly caTTL: string };
  readonly telemetry?: object;
  readonly clientMaxBodySize?: string;
}

let cluster: LiveApi;

before(async () => {
  cluster = await startLiveApi();
});
after(() => cluster?.api.stop());

async function live(): Promise<Settings> {
  return ((await cluster.api.admin.send({ method: "GET", path: settings })) as { spec: Settings }).spec;
}

/** As `kubectl patch meshconfig --type=merge`. */
async function change(spec: object): Promise<void> {
  const contentType = "application/merge-patch+json";
  await cluster.api.admin.send({
    method: "PATCH",
    path: `${settings}?fieldManager=kubectl-patch`,
    body: { spec },
    contentType,
  });
}

function run(helm: string, ...args: readonly string[]): Ended {
  return cluster.run(helm, ...args, "--namespace", namespace);
}

beforeEach(() => {
  run(helms["helm 3"], "uninstall", "nginx-mesh");
});

for (const [name, helm] of Object.entries(helms)) {
  test(`${name}: what was changed or removed by hand stays in an upgrade`, async () => {
    cluster.must(helm, ...install, `telemetry=${JSON.stringify(telemetry)}`);
    assert.deepEqual((await live()).telemetry, telemetry);
    await change({ mtls: { mode: "strict" }, telemetry: null, clientMaxBodySize: null });
    cluster.must(helm, ...upgrade, "--set", "mtls.caTTL=48h");
    const { mtls, telemetry: removed, clientMaxBodySize } = await live();
    assert.deepEqual(
      [mtls.mode, mtls.caTTL, removed, clientMaxBodySize],
      ["strict", "48h", undefined, undefined],
    );
    // another time, as now that is what was installed before
    cluster.must(helm, ...upgrade, "--set", "mtls.caTTL=72h");
    assert.equal((await live()).telemetry, undefined);
    assert.equal((await live()).mtls.mode, "strict");
  });
}

/** By the Helm `first` revision 1, then changes by hand, then by the Helm `then` revision 2. */
async function twoRevisions(first: string, then: string): Promise<void> {
  cluster.must(first, ...install, `telemetry=${JSON.stringify(telemetry)}`);
  await change({ mtls: { mode: "strict" }, telemetry: null });
  cluster.must(then, ...upgrade, "--set", "mtls.caTTL=48h");
  assert.equal((await live()).mtls.mode, "strict");
}

async function isBackWithChanges(): Promise<void> {
  const { mtls, telemetry: removed } = await live();
  assert.deepEqual([mtls.mode, mtls.caTTL, removed], ["strict", "720h", undefined]);
}

for (const [name, helm] of Object.entries(helms)) {
  test(`${name}, after an installation by helm 3: a rollback does not take back what was changed by hand`, async () => {
    await twoRevisions(helms["helm 3"], helm);
    cluster.must(helm, "rollback", "nginx-mesh", "1");
    await isBackWithChanges();
  });
}

test("helm 4: a rollback refuses to take back what was changed by hand; an upgrade to the former values keeps it", async () => {
  const helm = helms["helm 4"];
  await twoRevisions(helm, helm);
  const refused = run(helm, "rollback", "nginx-mesh", "1");
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /conflict with "kubectl-patch".*\.spec\.mtls\.mode/);
  assert.equal((await live()).mtls.mode, "strict");
  const values = run(helm, "get", "values", "nginx-mesh", "--revision", "1", "--output", "yaml");
  const ended = attempt(
    helm,
    [
      "upgrade",
      "nginx-mesh",
      chart,
      "--kubeconfig",
      cluster.kubeconfig,
      "--namespace",
      namespace,
      "--values",
      "-",
    ],
    values.stdout,
  );
  assert.equal(ended.status, 0, ended.stderr);
  await isBackWithChanges();
});

test("helm 4: what was changed by hand is taken back with --force-conflicts, also after it was refused", async () => {
  const helm = helms["helm 4"];
  cluster.must(helm, ...install, 'mtls.mode="strict"');
  await change({ mtls: { mode: "permissive" } });
  const args = [...upgrade, "--set", "mtls.mode=off"];
  assert.match(run(helm, ...args).stderr, /conflict with "kubectl-patch".*\.spec\.mtls\.mode/);
  cluster.must(helm, ...args, "--force-conflicts");
  assert.equal((await live()).mtls.mode, "off");
});
