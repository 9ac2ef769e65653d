import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, test } from "node:test";

import type { Problem } from "../api/problem.ts";
import { createProgram } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "validate-"));
after(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  process.exitCode = 0;
});

function write(name: string, content: string): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function run(...args: string[]): Promise<{ readonly status: number; readonly printed: string }> {
  let printed = "";
  process.exitCode = 0;
  const program = createProgram({ print: (text) => (printed += text), warn: () => undefined });
  await program.parseAsync(["validate", ...args], { from: "user" });
  const status = Number(process.exitCode);
  process.exitCode = 0;
  return { status, printed };
}

const split = (weights: string) => `apiVersion: split.smi-spec.io/v1alpha3
kind: TrafficSplit
metadata: {name: web, namespace: shop}
spec: {service: web, backends: ${weights}}
`;
const service = (name: string) => `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {ports: [{port: 80}]}
`;
const good = split("[{service: web-1, weight: 1}]") + service("web") + service("web-1");

test("nothing is wrong: status 0", async () => {
  const { status, printed } = await run("-f", write("good.yaml", good));
  assert.deepEqual([status, printed], [0, "3 objects, 0 errors, 0 warnings\n"]);
});

test("each problem has its place, object, field, reason and a way out: status 1", async () => {
  const path = write("zero.yaml", split("[{service: web, weight: 0}, {service: web, weight: 0}]"));
  const { status, printed } = await run("-f", path);
  assert.equal(status, 1);
  const where = `${path}:1: TrafficSplit shop/web: spec`;
  const missing =
    "there is no Service shop/web: make one, or correct the name; until then this has no effect (NotFound)";
  assert.equal(
    printed,
    `error: ${where}.backends: all weights are 0: give at least one backend a weight (AllWeightsZero)
error: ${where}.backends[1].service: Service web is a backend already: add the weights and name it once (Conflict)
warning: ${where}.backends[0].service: ${missing}
warning: ${where}.backends[1].service: ${missing}
warning: ${where}.service: ${missing}
1 object, 2 errors, 3 warnings
`,
  );
});

test("in a folder a reference that leads nowhere is an error, in a file a warning", async () => {
  const text = split("[{service: web-1, weight: 1}]");
  const file = write("whole/split.yaml", text);
  assert.equal((await run("-f", file)).status, 0);
  assert.equal((await run("-f", join(folder, "whole"))).status, 1);
  write("whole/services.yaml", service("web") + service("web-1"));
  assert.equal((await run("-f", join(folder, "whole"))).status, 0);
});

test("two files are looked at together", async () => {
  const [one, two] = [
    write("one.yaml", good),
    write("two.yaml", good.replace("name: web, n", "name: second, n")),
  ];
  const { status, printed } = await run("-f", one, "-f", two);
  assert.equal(status, 1);
  assert.match(
    printed,
    /TrafficSplit shop\/second: spec.service: TrafficSplit shop\/web already splits Service web/,
  );
  assert.match(printed, /Service shop\/web: defined in .*one.yaml:\d+ and again in .*two.yaml:\d+/);
});

test("JSON has everything, for programs", async () => {
  const path = write("json.yaml", split("[]"));
  const { status, printed } = await run("-f", path, "-o", "json");
  assert.equal(status, 1);
  const answer = JSON.parse(printed) as { objects: number; problems: (Problem & { source: string })[] };
  assert.equal(answer.objects, 1);
  assert.deepEqual(answer.problems[0], {
    object: "TrafficSplit shop/web",
    field: "spec.backends",
    reason: "InvalidValue",
    message: "there is no backend: name at least one",
    severity: "error",
    source: `${path}:1`,
  });
});

test("pods that ask for a sidecar and cannot have one, labels that mean nothing, fields that do not exist", async () => {
  const manifests = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {injector.nsm.nginx.com/auto-inject: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {injector.nsm.nginx.com/auto-inject: "yes"}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {hostNetwork: true, containers: [{name: a, image: a}]}
---
apiVersion: split.smi-spec.io/v1alpha3
kind: TrafficSplit
metadata: {name: web}
spec: {service: web, backend: []}
`;
  const { printed } = await run("-f", write("mixed.yaml", manifests));
  assert.match(printed, /DaemonSet shop\/agent: spec\.template\.spec\.hostNetwork: .*\(Unsupported\)/);
  assert.match(printed, /Namespace other: metadata\.labels\["inj.*"yes" is neither enabled nor disabled/);
  assert.match(printed, /TrafficSplit default\/web: spec\.backend: unknown field/);
  assert.match(printed, /TrafficSplit default\/web: spec\.backends: expected array/);
});

/** Every kind of the reference that has pods, with what stands around a pod template in it. */
const workloads: readonly (readonly [string, string, (template: string) => string])[] = [
  ["v1", "Pod", (template) => template],
  ...(["Deployment", "DaemonSet", "StatefulSet", "ReplicaSet"] as const).map(
    (kind) => ["apps/v1", kind, (template: string) => `spec: {template: {${template}}}`] as const,
  ),
  ["v1", "ReplicationController", (template) => `spec: {selector: {a: b}, template: {${template}}}`],
  ["batch/v1", "Job", (template) => `spec: {template: {${template}}}`],
  [
    "batch/v1",
    "CronJob",
    (template) => `spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {${template}}}}}`,
  ],
];

for (const [apiVersion, kind, around] of workloads) {
  test(`pods of a ${kind}: labels, refusals, unknown fields`, async () => {
    const manifest = (label: string, fields: string): string => {
      const metadata = `labels: {a: b, injector.nsm.nginx.com/auto-inject: "${label}"}`;
      const spec = `spec: {${fields} containers: [{name: a, image: a}]}`;
      return kind === "Pod"
        ? `apiVersion: v1\nkind: Pod\nmetadata: {name: x, ${metadata}}\n${spec}\n`
        : `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n${around(`metadata: {${metadata}}, ${spec}`)}\n`;
    };
    const place =
      { Pod: "", CronJob: "spec\\.jobTemplate\\.spec\\.template\\." }[kind] ?? "spec\\.template\\.";
    const printed = async (text: string): Promise<string> => (await run("-f", write("x.yaml", text))).printed;
    const said = (field: string, words: string): RegExp =>
      new RegExp(`error: (\\S+: )?${kind} default/x: ${place}${field}: .*${words}`);
    assert.match(await printed(manifest("enabled", "")), /^(warning: .*\n)*1 object, 0 errors/);
    assert.match(
      await printed(manifest("yes", "")),
      said("metadata\\.labels\\[\\S+\\]", "neither enabled nor"),
    );
    assert.match(
      await printed(manifest("enabled", "hostNetwork: true,")),
      said("spec\\.hostNetwork", "Unsupported"),
    );
    assert.match(
      await printed(manifest("enabled", "hostNet: true,")),
      said("spec\\.hostNet", "UnknownField"),
    );
  });
}

test("what cannot be read: status 2", async () => {
  await assert.rejects(run("-f", join(folder, "gone.yaml")), { name: "CommandError", status: 2 });
  mkdirSync(join(folder, "empty"));
  await assert.rejects(run("-f", join(folder, "empty")), { name: "CommandError", status: 2 });
});
