/**
 * Manifests in, manifests out: each folder of test/golden/inject holds `in.yaml` or `in.json`, settings that differ from the
 * usual ones (`settings.json`, optional), and what comes of it: `out.yaml` or `out.json`, and a line for each object in
 * `objects.txt`. `GOLDEN=write node --test test/golden-inject.test.ts` writes the latter two anew; read them before committing.
 */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatProblem } from "../src/api/problem.ts";
import { parseKubernetesYaml } from "../src/api/yaml.ts";
import { injectManifest, type InjectedObject } from "../src/inject/manifest.ts";
import { applyPatch } from "../src/inject/patch.ts";
import { injectObject } from "../src/inject/object.ts";
import type { InjectSettings } from "../src/inject/settings.ts";
import { usualSettings } from "./fixtures/inject-settings.ts";

const golden = join(import.meta.dirname, "golden/inject");

function lines({ injection, line }: InjectedObject): string[] {
  const { object, outcome } = injection;
  switch (outcome) {
    case "unchanged":
      return [`${line}: ${object}: ${outcome}, ${injection.why}`];
    case "injected":
      return [
        `${line}: ${object}: ${outcome}`,
        ...injection.warnings.map((each) => `  ${formatProblem(each)}`),
      ];
    case "refused":
      return [
        `${line}: ${object}: ${outcome}`,
        ...injection.problems.map((each) => `  ${each.reason} ${each.field}: ${each.message}`),
      ];
  }
}

for (const name of readdirSync(golden).sort()) {
  const folder = join(golden, name);
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  const ending = existsSync(join(folder, "in.json")) ? "json" : "yaml";
  const more = existsSync(join(folder, "settings.json")) ? (JSON.parse(read("settings.json")) as object) : {};
  const settings: InjectSettings = { ...usualSettings, ...more };
  const options = { settings, ignoreIncomingPorts: [], ignoreOutgoingPorts: [] };

  test(`golden: inject ${name}`, () => {
    const result = injectManifest(read(`in.${ending}`), options);
    assert.ok("text" in result, JSON.stringify(result));
    const files = {
      [`out.${ending}`]: result.text,
      "objects.txt": `${result.objects.flatMap(lines).join("\n")}\n`,
    };
    for (const [file, text] of Object.entries(files)) {
      if (process.env["GOLDEN"] === "write") {
        writeFileSync(join(folder, file), text);
      }
      assert.equal(text, read(file), `${name}/${file} differs`);
    }
  });

  test(`golden: inject ${name} again changes nothing`, () => {
    const result = injectManifest(read(`out.${ending}`), options);
    assert.ok("text" in result);
    assert.equal(result.text, read(`out.${ending}`));
  });

  test(`golden: inject ${name}: the text has what the changes of the values have`, () => {
    const values = (text: string) => parseKubernetesYaml(text).map((each) => each.toJS() as unknown);
    const expected = values(read(`in.${ending}`)).map((value) => {
      const list = value as { kind?: string; items?: unknown[] } | null;
      const one = (item: unknown) => {
        const injection = injectObject(item, options);
        return injection.outcome === "injected" ? applyPatch(item, injection.operations) : item;
      };
      return list?.kind === "List" ? { ...list, items: list.items!.map(one) } : one(value);
    });
    assert.deepEqual(values(read(`out.${ending}`)), expected);
  });
}
