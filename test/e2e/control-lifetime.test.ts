/** Several meshes at once, and what is left of a mesh however it ends: nothing. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { layoutOf, type Layout } from "../../src/local/layout.ts";
import { enginePid, readRecord } from "../../src/local/host.ts";
import { server } from "./manifests.ts";
import { type Ended, meshctl, runProgram, startMesh } from "./mesh.ts";
import { allProcesses, meshProcesses } from "./processes.ts";

interface Place {
  readonly folder: string;
  readonly layout: Layout;
  up(): Promise<Ended>;
  down(): Promise<Ended>;
}

/** Folders for a mesh that the test starts and ends itself. */
function place(context: TestContext): Place {
  const folder = mkdtempSync(join(tmpdir(), "nm-manifests-"));
  const layout = layoutOf(mkdtempSync(join(tmpdir(), "nm-")));
  writeFileSync(join(folder, "web.yaml"), server({ name: "web", replicas: 2 }));
  const run = (...args: string[]): Promise<Ended> =>
    runProgram(meshctl, ["--state", layout.state, "local", ...args]);
  context.after(async () => {
    await run("down", "--now");
    rmSync(folder, { recursive: true, force: true });
    rmSync(layout.state, { recursive: true, force: true });
  });
  return { folder, layout, up: () => run("up", "-f", folder), down: () => run("down") };
}

interface Traces {
  readonly links: string[];
  readonly mounts: string;
  readonly namespaces: string;
  readonly rules: string;
}

async function output(program: string, ...args: string[]): Promise<string> {
  return (await runProgram(program, args)).stdout;
}

/** What the host has; other meshes may come and go meanwhile, so that links are told apart by their names. */
async function traces(): Promise<Traces> {
  const links = (JSON.parse(await output("ip", "-j", "link")) as { ifname: string }[]).map(
    ({ ifname }) => ifname,
  );
  return {
    links: links.filter((name) => !/^nm\d+$/.test(name)).sort(),
    mounts: await output("findmnt", "-n", "-l", "-o", "TARGET"),
    namespaces: await output("ip", "netns"),
    rules: await output("nft", "list", "ruleset"),
  };
}

/** Nothing bears the mark of this mesh any more. */
async function assertNothingLeft(
  layout: Layout,
  network: number,
  holder: number,
  before: Traces,
): Promise<void> {
  const end = Date.now() + 5_000;
  const left = (): string[] =>
    allProcesses()
      .filter(
        ({ title, pid }) => pid === holder || (title.includes(layout.state) && !title.includes("meshctl")),
      )
      .map(({ pid, title }) => `${pid} ${title}`);
  while (left().length > 0 && Date.now() < end) {
    await sleep(50);
  }
  assert.deepEqual(left(), []);
  const link = await output("ip", "-d", "link", "show", "dev", `nm${network}`);
  assert.doesNotMatch(link, new RegExp(`nginx-mesh-${holder}\\b`));
  assert.equal(existsSync(layout.state) && readdirSync(layout.state).length > 0, false, "the state folder");
  const now = await traces();
  assert.deepEqual(now.links, before.links);
  assert.equal(now.namespaces, before.namespaces);
  assert.equal(now.rules, before.rules);
  assert.ok(!now.mounts.includes(layout.state), now.mounts);
}

test("two meshes that start at once answer apart, and one that ends leaves the other alone", async (context) => {
  const before = await traces();
  const first = place(context);
  const second = place(context);
  const ups = await Promise.all([first.up(), second.up()]);
  ups.forEach(({ status, stderr }) => assert.equal(status, 0, stderr));
  const [one, two] = [readRecord(first.layout)!, readRecord(second.layout)!];
  assert.notEqual(one.network, two.network);
  const ask = (mesh: Place): Promise<Ended> =>
    runProgram(meshctl, [
      "--state",
      mesh.layout.state,
      "local",
      "exec",
      "web",
      "--",
      "curl",
      "-sS",
      "-f",
      "http://web/",
    ]);
  for (const mesh of [first, second]) {
    assert.match((await ask(mesh)).stdout, /"pod":"web-/);
  }
  const processes = meshProcesses(first).map(({ pid }) => pid);
  assert.ok(processes.length > 8);
  assert.equal((await first.down()).status, 0);
  assert.deepEqual(
    allProcesses().filter(({ pid }) => processes.includes(pid)),
    [],
  );
  await assertNothingLeft(first.layout, one.network, one.pid, before);
  assert.match((await ask(second)).stdout, /"pod":"web-/);
  assert.equal((await second.down()).status, 0);
  await assertNothingLeft(second.layout, two.network, two.pid, before);
  assert.match((await first.down()).stdout, /not running/);
});

test("engine killed, then down: nothing is left", async (context) => {
  const before = await traces();
  const mesh = place(context);
  assert.equal((await mesh.up()).status, 0);
  const record = readRecord(mesh.layout)!;
  const processes = meshProcesses(mesh).map(({ pid }) => pid);
  process.kill(enginePid(record)!, "SIGKILL");
  await sleep(500);
  assert.deepEqual(
    allProcesses().filter(({ pid }) => processes.includes(pid)),
    [],
    "the kernel ends all of it",
  );
  assert.equal((await mesh.down()).status, 0);
  await assertNothingLeft(mesh.layout, record.network, record.pid, before);
});

test("a mesh whose folder of manifests is gone goes on, and ends", async () => {
  const mesh = await startMesh({ "web.yaml": server({ name: "web" }) });
  rmSync(mesh.folder, { recursive: true });
  await sleep(500);
  const { stdout } = await mesh.exec("web", "curl", "-sS", "-f", "http://web/");
  await mesh.stop();
  assert.match(stdout, /"pod":"web-/);
});
