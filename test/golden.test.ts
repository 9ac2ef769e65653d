/**
 * Manifests in, configuration out, side by side: each folder of test/golden holds `manifests/`, what differs from a
 * cluster where all of it runs (`differences.json`, optional), and what comes of it: `configuration.json` and
 * `problems.txt`. `GOLDEN=write node --test test/golden.test.ts` writes the latter two anew; read them before committing.
 */
import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatProblem } from "../src/api/problem.ts";
import { openFolder } from "../src/cluster/folder.ts";
import { createSnapshot } from "../src/cluster/snapshot.ts";
import { compile } from "../src/compile/configuration.ts";
import { buildModel } from "../src/model/build.ts";
import { type Differences, runningCluster } from "./fixtures/running-pods.ts";

const golden = join(import.meta.dirname, "golden");
const settings = { trustDomain: "example.org", statisticsInterval: 1 };

/** JSON in which what fits into a line stands in one. */
function readable(value: unknown, indent = ""): string {
  const line = JSON.stringify(value, undefined, 1)?.replace(/\n\s*/g, " ");
  if (typeof value !== "object" || value === null || indent.length + line.length <= 110) {
    return line;
  }
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const parts = Object.entries(value).map(([key, part]) =>
    Array.isArray(value) ? readable(part, inner) : `${JSON.stringify(key)}: ${readable(part, inner)}`,
  );
  return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`;
}

async function results(folder: string): Promise<Record<string, string>> {
  const contents = await openFolder(join(folder, "manifests")).read();
  const file = join(folder, "differences.json");
  const differences = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Differences) : {};
  const status = runningCluster(contents.objects, differences);
  const model = buildModel(
    createSnapshot({ ...status, objects: contents.objects, problems: contents.problems }),
    settings,
  );
  const keys = [...compile(model).keys].map(([key, value]): [string, unknown] => [key, JSON.parse(value)]);
  const problems = model.problems.map(
    (problem) => `${problem.severity} ${problem.reason}: ${formatProblem(problem)}\n`,
  );
  return {
    "configuration.json": `${readable(Object.fromEntries(keys))}\n`,
    "problems.txt": problems.join(""),
  };
}

// test/golden/inject is another test's
for (const name of readdirSync(golden)
  .filter((each) => existsSync(join(golden, each, "manifests")))
  .sort()) {
  test(`golden: ${name}`, async () => {
    const folder = join(golden, name);
    for (const [file, text] of Object.entries(await results(folder))) {
      const path = join(folder, file);
      if (process.env["GOLDEN"] === "write") {
        writeFileSync(path, text);
      }
      assert.equal(text, readFileSync(path, "utf8"), `${name}/${file} differs`);
    }
  });
}
