import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { readManifest } from "./manifest.ts";

test("a bomb of aliases is a problem, and quick", () => {
  const levels = Array.from(
    { length: 12 },
    (_, i) =>
      `l${i}: &l${i} [${Array(9)
        .fill(`*l${i - 1}`)
        .join(",")}]`,
  );
  levels[0] = "l0: &l0 [lol]";
  const start = performance.now();
  const { objects, problems } = readManifest(levels.join("\n"), "bomb.yaml");
  assert.deepEqual(objects, []);
  assert.equal(problems[0]?.reason, "InvalidYaml");
  assert.ok(performance.now() - start < 1000);
});

test("deep nesting is a problem, not a crash", () => {
  const { problems } = readManifest("[".repeat(100_000), "deep.yaml");
  assert.equal(problems[0]?.reason, "InvalidYaml");
});

test("very many documents are a problem, and quick", () => {
  const start = performance.now();
  const { problems } = readManifest("a: 1\n---\n".repeat(400_000), "many.yaml");
  assert.equal(problems.length, 1);
  assert.ok(performance.now() - start < 1000);
});

test("merge keys and anchors work as kubectl reads them", () => {
  const text = [
    "apiVersion: v1",
    "kind: Service",
    "metadata: { name: a, labels: &l { app: a } }",
    "spec:",
    "  selector: { <<: *l, tier: front }",
  ].join("\n");
  const { objects, problems } = readManifest(text, "a.yaml");
  assert.deepEqual(problems, []);
  const service = objects[0]?.object;
  assert.deepEqual(service?.kind === "Service" ? service.spec.selector : {}, { app: "a", tier: "front" });
});

test("booleans of YAML 1.1 are none of YAML 1.2, as kubectl reads them", () => {
  const pod = (mode: string, hostNetwork: string) =>
    readManifest(
      [
        "apiVersion: v1",
        "kind: Pod",
        `metadata: { name: a, annotations: { config.nsm.nginx.com/mtls-mode: ${mode} } }`,
        `spec: { containers: [{ name: a }], hostNetwork: ${hostNetwork} }`,
      ].join("\n"),
      "a.yaml",
    );
  const { objects, problems } = pod('"off"', "yes");
  assert.deepEqual(problems, []);
  const object = objects[0]?.object;
  assert.equal(object?.kind === "Pod" && object.spec.hostNetwork, true);
  assert.equal(object?.metadata.annotations?.["config.nsm.nginx.com/mtls-mode"], "off");
  assert.match(pod("off", "no").problems[0]?.field ?? "", /mtls-mode/);
});

test("prototypes stay as they are", () => {
  for (const text of [
    "__proto__: { polluted: yes }\nkind: A\napiVersion: b",
    "a: &a { __proto__: { polluted: 1 } }\n<<: *a",
    '{"constructor":{"prototype":{"polluted":1}}}',
  ]) {
    readManifest(text, "a.yaml");
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  }
});

test("whatever the text, problems come out, never an exception", () => {
  const line = fc.constantFrom(
    "apiVersion: v1",
    "kind: Service",
    "---",
    "- a",
    "  b:",
    "%YAML 1.1",
    "&a *a",
    "? {",
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(line).map((lines) => lines.join("\n")),
  );
  fc.assert(
    fc.property(text, (input) => {
      const { objects, problems } = readManifest(input, "f.yaml");
      assert.ok(Array.isArray(objects) && Array.isArray(problems));
    }),
    { numRuns: 500 },
  );
});
