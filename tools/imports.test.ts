/** The direction of imports: a folder of src imports from those before it in this list, and from api and wire. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";

const src = join(import.meta.dirname, "../src");
const order = [
  "api",
  "cluster",
  "model",
  "compile",
  "wire",
  "publish",
  "sidecar",
  "inject",
  "identity",
  "admission",
  "metrics",
  "controller",
  "local",
  "cli",
];
const everywhere = new Set(["api", "wire"]);

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  const targets = [...text.matchAll(/(?:from|import\(?)\s*"(\.[^"]+)"/g)].map((match) => match[1]!);
  return targets.map((target) => relative(src, join(file, "..", target)));
}

test("every folder is in the list, and no file imports against it", () => {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  assert.ok(files.length > 100);
  const wrong = files.flatMap((file) => {
    const own = file.split("/")[0]!;
    assert.ok(order.includes(own), `src/${own} is not in the list`);
    return importsOf(join(src, file))
      .filter((target) => !target.startsWith("..") || !file.endsWith(".test.ts"))
      .filter((target) => {
        const other = target.split("/")[0]!;
        return other !== own && !everywhere.has(other) && order.indexOf(other) >= order.indexOf(own);
      })
      .map((target) => `${file} imports ${target}`);
  });
  assert.deepEqual(wrong, []);
});
