/** The chart as Helm renders it: by both versions of Helm, for a table of values, judged by Kubernetes' own schemas. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cases, refusals } from "./cases.ts";
import { attempt, chart, helms, kubeconform, kubeVersion, swaggerFile } from "./programs.ts";
import { find, objectsOf, render, type Rendered, template } from "./render.ts";
import { nameTemplate, writeSchemas } from "./schemas.ts";

const checkout = join(import.meta.dirname, "../..");
const golden = join(checkout, "test/golden/chart/defaults.yaml");
const folder = mkdtempSync(join(tmpdir(), "schemas-"));

before(() => writeSchemas(swaggerFile(), join(chart, "crds"), folder));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Kinds of which Kubernetes has no schema. */
const foreign = "SecurityContextConstraints,CustomResourceDefinition";

function judge(manifests: string): void {
  const args = ["-strict", "-summary", "-output", "text", "-skip", foreign];
  const ended = attempt(
    kubeconform,
    [...args, "-schema-location", join(folder, nameTemplate), "-"],
    manifests,
  );
  assert.equal(ended.status, 0, ended.stdout + ended.stderr);
  assert.match(ended.stdout, /Valid: [1-9]/);
}

/** The two order objects of one kind differently. */
function sorted(text: string): readonly Rendered[] {
  const key = ({ kind, metadata }: Rendered): string => `${kind} ${metadata.namespace} ${metadata.name}`;
  return objectsOf(text).toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

for (const [name, helm] of Object.entries(helms)) {
  test(`${name}: lint finds nothing`, () => {
    const ended = attempt(helm, ["lint", "--strict", chart, "--namespace", "nginx-mesh"]);
    assert.equal(ended.status, 0, ended.stdout + ended.stderr);
    assert.doesNotMatch(ended.stdout, /\[(WARNING|ERROR)\]/);
  });
}

for (const [name, values] of Object.entries(cases)) {
  test(`${name}: every object is one of Kubernetes, and both Helms make the same`, () => {
    const text = render(values);
    judge(text);
    assert.deepEqual(sorted(render(values, { helm: helms["helm 4"] })), sorted(text));
  });
}

for (const [values, message] of refusals) {
  test(`refused: ${JSON.stringify(values).slice(0, 90)}`, () => {
    const ended = template(values);
    assert.notEqual(ended.status, 0);
    assert.match(ended.stderr, message);
  });
}

test("a size may be a number, of a file or of --set", () => {
  const sizeOf = (text: string): unknown =>
    find(objectsOf(text), "MeshConfig", "nginx-mesh-config")["spec"].clientMaxBodySize;
  for (const helm of Object.values(helms)) {
    assert.equal(sizeOf(render({ clientMaxBodySize: 104_857_600 }, { helm })), "104857600");
    const args = ["template", "nginx-mesh", chart, `--kube-version=${kubeVersion}`];
    const ended = attempt(helm, [...args, "--namespace=nginx-mesh", "--set", "clientMaxBodySize=0"]);
    assert.equal(ended.status, 0, ended.stderr);
    assert.equal(sizeOf(ended.stdout), "0");
  }
});

test("any namespace will do, but not one of Kubernetes itself", () => {
  const text = render({}, { namespace: "other" });
  judge(text);
  for (const object of objectsOf(text)) {
    const { kind, metadata } = object;
    const where = `${kind} ${metadata.name}`;
    const outside = kind === "RoleBinding" && metadata.namespace === "kube-system";
    assert.ok(metadata.namespace === "other" || metadata.namespace === undefined || outside, where);
    // what programs are told: no namespace but this one
    assert.doesNotMatch(
      JSON.stringify(object),
      /namespace=nginx-mesh|nginx-mesh\.svc|nginx-mesh:spire/,
      where,
    );
  }
  assert.match(
    template({}, { namespace: "kube-system" }).stderr,
    /cannot be installed into the namespace kube-system/,
  );
});

test("settings are those of the values, and no others", () => {
  const spec = (values: object): Readonly<Record<string, unknown>> =>
    find(objectsOf(render(values)), "MeshConfig", "nginx-mesh-config")["spec"];
  const otlp = { host: "collector", port: 4317 };
  assert.equal(spec({})["telemetry"], undefined);
  assert.equal(spec(cases["no tracing, as Rancher's form says it"]!)["telemetry"], undefined);
  assert.deepEqual(spec({ telemetry: { exporters: { otlp: { host: "collector" } } } })["telemetry"], {
    exporters: { otlp },
    samplerRatio: 0.01,
  });
  assert.deepEqual(spec({ telemetry: { samplerRatio: 0, exporters: { otlp } } })["telemetry"], {
    exporters: { otlp },
    samplerRatio: 0,
  });
  // Helm's --set makes no fractions
  assert.deepEqual(spec({ telemetry: { samplerRatio: "0.25", exporters: { otlp } } })["telemetry"], {
    exporters: { otlp },
    samplerRatio: 0.25,
  });
  assert.equal((spec({ mtls: { mode: "off" } })["mtls"] as { mode: string }).mode, "off");
});

test("the default rendering", () => {
  const text = render({});
  if (process.env["GOLDEN"] === "write") {
    writeFileSync(golden, text);
  }
  assert.equal(text, readFileSync(golden, "utf8"));
});

test("the judge finds what is wrong", () => {
  const wrong = (text: string): void =>
    assert.throws(() =>
      judge(render({}).replace(/kind: Deployment[^]*?replicas: 1/, (found) => `${found}\n${text}`)),
    );
  wrong("  replica: 2");
  wrong("  minReadySeconds: soon");
});

test("the chart has the version of the package", () => {
  const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string };
  const text = readFileSync(join(chart, "Chart.yaml"), "utf8");
  assert.match(text, new RegExp(`^version: ${version}$`, "m"));
  assert.match(text, new RegExp(`^appVersion: ${version}$`, "m"));
});

test(`clusters before ${kubeVersion}: what they lack is not used`, () => {
  assert.match(render({}, { kubeVersion: "1.28.0" }), /--sidecar-order=classic/);
  assert.match(render({}, { kubeVersion: "1.29.0" }), /--sidecar-order=native/);
  assert.match(render({}, { kubeVersion: "1.32.0" }), /resources: \[nodes\/proxy\]/);
  assert.match(render({}, { kubeVersion: "1.33.0" }), /resources: \[nodes\/pods\]/);
  assert.match(template({}, { kubeVersion: "1.21.0" }).stderr, /kubeVersion/);
  const native = { sidecar: { order: "native" } };
  assert.match(
    template(native, { kubeVersion: "1.28.9-gke.1" }).stderr,
    /sidecar\.order is native, which needs Kubernetes 1\.29, and this is v1\.28\.9/,
  );
  assert.match(render(native, { kubeVersion: "1.29.0-rc.1" }), /--sidecar-order=native/);
});
