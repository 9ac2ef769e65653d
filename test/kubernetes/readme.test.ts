/** The section "On Kubernetes" of the README: every command, in its order, and what it says that one sees. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { attempt, until } from "./fixture.ts";
import { chartValues, uninstallMesh } from "./mesh.ts";

const checkout = join(import.meta.dirname, "../..");
const readme = readFileSync(join(checkout, "README.md"), "utf8");
const section = /^## On Kubernetes\n([^]*?)^## /m.exec(readme)?.[1] ?? "";
const blocks = [...section.matchAll(/```sh\n([^]*?)```/g)].map(([, text]) => text!.trim());
const registry = "testbed.local";

// other files leave the mesh in place for the next one
before(() => uninstallMesh());
after(async () => {
  await uninstallMesh();
  await attempt("kubectl", ["delete", "namespace", "hello", "--ignore-not-found"], { timeout: 120 });
});

interface Step {
  readonly command: string;
  /** Comment below the command: the beginning of what it prints. */
  readonly prints: string | undefined;
}

function stepsOf(block: string): readonly Step[] {
  const steps: Step[] = [];
  for (const line of block.split("\n")) {
    const before = steps.at(-1);
    if (line.startsWith("# ") && before !== undefined) {
      steps[steps.length - 1] = { ...before, prints: line.slice(2) };
    } else {
      steps.push({ command: line, prints: undefined });
    }
  }
  return steps;
}

/** As a reader of the README does, but that the cluster's images are where the test bed puts them. */
function adapted(command: string): string {
  const values = chartValues()
    .map((value) => `'${value}'`)
    .join(" ");
  return command
    .replace(/^REGISTRY=.*/, `REGISTRY=${registry}`)
    .replace("--set registry.server=$REGISTRY", values)
    .replace(/^nginx-meshctl /, "bin/nginx-meshctl ");
}

async function run(command: string): Promise<string> {
  const script = `cd '${checkout}'; REGISTRY=${registry}; ${adapted(command)}`;
  const ended = await attempt("bash", ["-euc", script], { timeout: 300 });
  assert.equal(ended.status, 0, `${command}\n${ended.stdout}\n${ended.stderr}`);
  return ended.stdout;
}

for (const [at, block] of blocks.entries()) {
  test(`block ${at + 1}: ${block
    .split("\n")
    .find((line) => !line.startsWith("REGISTRY"))
    ?.slice(0, 80)}`, async () => {
    for (const { command, prints } of stepsOf(block)) {
      if (prints === undefined) {
        await run(command);
        continue;
      }
      // the README waits for a reader's eye, and a busy machine needs more
      await until(`"${prints}" from ${command}`, 30, async () =>
        (await run(command)).startsWith(prints) ? true : undefined,
      );
    }
  });
}

test("the section has all that a reader looks for", () => {
  assert.ok(blocks.length >= 5);
  for (const word of ["helm install", "auto-inject=enabled", "strict", "trafficsplit", "helm uninstall"]) {
    assert.ok(section.includes(word), word);
  }
});
