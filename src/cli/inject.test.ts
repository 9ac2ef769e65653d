import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";

import { usualSettings } from "../../test/fixtures/inject-settings.ts";
import { serve } from "../controller/server.ts";

const folder = mkdtempSync(join(tmpdir(), "inject-"));
const state = join(folder, "meshes", "shop");
const settings = join(folder, "settings.json");
const golden = join(import.meta.dirname, "../../test/golden/inject");
let server: Server;
let served: object = usualSettings;

before(async () => {
  writeFileSync(settings, JSON.stringify(usualSettings));
  mkdirSync(state, { recursive: true });
  const route = { path: "/injection", answer: () => ({ status: 200, body: served }) };
  server = await serve(join(state, "controller.sock"), [route]);
});

after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

interface Outcome {
  readonly status: number;
  readonly printed: string;
  readonly said: string;
}

/** The command as a process of its own, with `input` as its standard input. */
async function run(args: readonly string[], input = ""): Promise<Outcome> {
  const main = join(import.meta.dirname, "main.ts");
  const child = spawn(process.execPath, [main, ...args], { cwd: folder });
  child.stdin.end(input);
  const [printed, said, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1))),
  ]);
  return { status, printed, said };
}

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: a}]\n";

test("a file, and standard input, with settings from a file and from the controller: the same", async () => {
  const expected = readFileSync(join(golden, "deployment/out.yaml"), "utf8");
  const input = readFileSync(join(golden, "deployment/in.yaml"), "utf8");
  const outcomes = await Promise.all([
    run(["inject", "--settings", settings, "-f", join(golden, "deployment/in.yaml")]),
    run(["inject", "--settings", settings], input),
    run(["inject", "--state", state, "-f", "-"], input),
  ]);
  for (const outcome of outcomes) {
    assert.deepEqual(outcome, { status: 0, printed: expected, said: "" });
  }
});

test("ports of the flags reach the rules", async () => {
  const flags = ["--ignore-incoming-ports", "9000,80", "--ignore-outgoing-ports", "5432"];
  const { printed } = await run(["inject", "--settings", settings, ...flags], pod);
  assert.match(printed, /config\.nsm\.nginx\.com\/ignore-incoming-ports: 80,9000/);
  assert.match(printed, /--dports 53,5432 -j RETURN/);
});

const failures: readonly (readonly [string, readonly string[], string, number, RegExp])[] = [
  ["no such file", ["-f", "gone.yaml"], "", 2, /cannot read the manifest gone\.yaml: ENOENT/],
  ["ports that are none", ["--ignore-incoming-ports", "80-90"], pod, 2, /"80-90" is not a port/],
  ["YAML that is none", [], `${pod}---\na: [1\nb: 2\n`, 2, /standard input:\d+: .*nothing was written/],
  [
    "keys that stand twice",
    ["-f", file("twice.yaml", `${pod}---\nkind: A\nkind: B\n`)],
    "",
    2,
    /twice\.yaml:8: Map keys must be unique \(column 1\); nothing was written/,
  ],
  [
    "a pod that is refused among others",
    ["-f", file("host.yaml", `${pod}---\n${pod}  hostNetwork: true\n`)],
    "",
    1,
    /^host\.yaml:7: Pod a: spec\.hostNetwork: .*\nnginx-meshctl: 1 of 2 objects cannot have the sidecar.*nothing was written\n$/s,
  ],
  [
    "a bomb of aliases",
    [],
    `a: &a [x, x, x, x, x, x, x, x, x]\n${["b", "c", "d", "e", "f"].map((key, i) => `${key}: &${key} [${`*${"abcde"[i]!}, `.repeat(9)}]`).join("\n")}\n`,
    2,
    /alias/i,
  ],
];
for (const [title, args, input, status, said] of failures) {
  test(`inject: ${title}: status ${status}, nothing written`, async () => {
    const outcome = await run(["inject", "--settings", settings, ...args], input);
    assert.equal(outcome.printed, "");
    assert.match(outcome.said, said);
    assert.equal(outcome.status, status);
  });
}

test("notes go beside the result, not into it", async () => {
  const optedOut = pod.replace(
    "{name: a}",
    "{name: a, labels: {injector.nsm.nginx.com/auto-inject: disabled}}",
  );
  const left = await run(["inject", "--settings", settings], optedOut);
  assert.deepEqual([left.status, left.printed], [0, optedOut]);
  assert.match(left.said, /^standard input:1: Pod a stays as it is: .*disabled\n$/);
  const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
  const none = await run(["inject", "--settings", settings], service);
  assert.deepEqual([none.status, none.printed], [0, service]);
  assert.match(none.said, /no object has pods/);
});

test("a controller of another version is told from a mistake", async () => {
  served = { ...usualSettings, fromTheFuture: true };
  const outcome = await run(["inject", "--state", state], pod);
  served = usualSettings;
  assert.equal(outcome.status, 2);
  assert.match(
    outcome.said,
    /cannot use the settings for injection from the controller's answer: .*one version\?/,
  );
});
