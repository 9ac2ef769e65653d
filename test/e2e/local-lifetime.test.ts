/** Starting and ending meshes: the host stays as it is, and nothing is left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launcherIn } from "../../src/local/launch.ts";
import { layoutOf } from "../../src/local/layout.ts";
import { client, server } from "./manifests.ts";
import { type Ended, meshctl, runProgram } from "./mesh.ts";

const folder = mkdtempSync(join(tmpdir(), "nm-lifetime-"));
after(async () => {
  // what a test that failed has left
  for (const name of readdirSync(folder)) {
    if (existsSync(layoutOf(join(folder, name)).record)) {
      await runProgram(meshctl, ["local", "down", "--now", "--state", join(folder, name)]);
    }
  }
  rmSync(folder, { recursive: true, force: true });
});

/** Command lines of all processes that name a path. */
function processesOf(path: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return [];
      }
    })
    .filter((line) => line.includes(path));
}

/** What a mesh could leave on the host, as far as it names the mesh's network. */
async function tracesOf(network: number): Promise<string[]> {
  const outputs = await Promise.all([
    runProgram("ip", ["-o", "address"]),
    runProgram("ip", ["route"]),
    runProgram("nft", ["list", "ruleset"]),
  ]);
  return outputs
    .flatMap(({ stdout }) => stdout.split("\n"))
    .filter((line) => line.includes(`nm${network}`) || line.includes(`10.${network}.`));
}

async function hostFacts(): Promise<string> {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const rules = (await runProgram("nft", ["list", "ruleset"])).stdout;
  const forward = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8");
  return `${mounts}\n${rules}\n${forward}`;
}

function networkOf(state: string): number {
  return (JSON.parse(readFileSync(layoutOf(state).record, "utf8")) as { network: number }).network;
}

function manifests(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(path, file), text);
  }
  return path;
}

function up(path: string, state: string, ...flags: string[]) {
  return runProgram(meshctl, ["local", "up", "-f", path, "--name", "e2e-life", "--state", state, ...flags]);
}

function down(state: string) {
  return runProgram(meshctl, ["local", "down", "--state", state]);
}

const meshed = { "web.yaml": server({ name: "web", replicas: 2 }), "client.yaml": client("client") };

test("down leaves nothing: no process, link, route, rule, mount, setting or file", async () => {
  const state = join(folder, "clean");
  const before = await hostFacts();
  const started = await up(manifests("clean-m", meshed), state);
  assert.equal(started.status, 0, started.stdout + started.stderr);
  assert.match(started.stdout, /ready {2}3\/3/);
  const network = networkOf(state);
  assert.notDeepEqual(await tracesOf(network), []);
  assert.equal(await hostFacts(), before, "a running mesh changes nothing of the host's");
  const ended = await down(state);
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(await tracesOf(network), []);
  assert.deepEqual(processesOf(state), []);
  assert.equal(await hostFacts(), before);
  assert.ok(!existsSync(state));
});

test("after a SIGKILL of the engine nothing runs on; the next up removes the rest", async () => {
  const state = join(folder, "killed");
  const path = manifests("killed-m", meshed);
  assert.equal((await up(path, state)).status, 0);
  const network = networkOf(state);
  const { pid } = JSON.parse(readFileSync(layoutOf(state).record, "utf8")) as { pid: number };
  process.kill(pid, "SIGKILL");
  for (let tries = 0; tries < 100 && processesOf(state).length > 0; tries += 1) {
    await sleep(20);
  }
  assert.deepEqual(processesOf(state), []);
  const again = await up(path, state);
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stdout, /removed what an earlier mesh .* had left/);
  assert.equal((await down(state)).status, 0);
  assert.deepEqual(await tracesOf(network), []);
});

test("two starts with one state folder at the same moment: one is refused, and the other one runs", async () => {
  const state = join(folder, "race");
  const path = manifests("race-m", { "client.yaml": client("client", false) });
  const both = await Promise.all([up(path, state), up(path, state), up(path, state)]);
  const said = both.map((ended) => ended.stdout + ended.stderr).join("\n");
  assert.deepEqual(both.map((ended) => ended.status).sort(), [0, 2, 2], said);
  assert.equal(said.match(/is in use/g)?.length, 2, said);
  const network = networkOf(state);
  assert.equal((await down(state)).status, 0);
  assert.deepEqual(await tracesOf(network), []);
  assert.deepEqual(processesOf(state), []);
});

test("Ctrl-C while it starts ends it and leaves nothing", async () => {
  const state = join(folder, "interrupted");
  const never = server({ name: "never", command: ["sleep", "1000"] });
  const path = manifests("interrupted-m", { "never.yaml": never });
  const child = spawn(meshctl, ["local", "up", "-f", path, "--state", state], { stdio: "ignore" });
  for (let tries = 0; tries < 250 && !existsSync(layoutOf(state).controlSocket); tries += 1) {
    await sleep(20);
  }
  await sleep(300);
  const network = networkOf(state);
  child.kill("SIGINT");
  const status = await new Promise((done) => child.on("close", done));
  assert.equal(status, 130);
  assert.deepEqual(await tracesOf(network), []);
  assert.deepEqual(processesOf(state), []);
  assert.ok(!existsSync(state));
});

test("in the foreground it stays until Ctrl-C, and ends with it", async () => {
  const state = join(folder, "foreground");
  const path = manifests("foreground-m", { "client.yaml": client("client", false) });
  const child = spawn(meshctl, ["local", "up", "-f", path, "--state", state, "--foreground"]);
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  for (let tries = 0; tries < 250 && !said.includes("ready: 1 pods"); tries += 1) {
    await sleep(20);
  }
  const network = networkOf(state);
  await sleep(300);
  assert.equal(child.exitCode, null, said);
  child.kill("SIGINT");
  assert.equal(await new Promise((done) => child.on("close", done)), 0);
  assert.deepEqual(await tracesOf(network), []);
  assert.deepEqual(processesOf(state), []);
  assert.ok(!existsSync(state));
});

test("a process that is killed while it starts leaves nothing behind", async () => {
  const marker = "98765.4321";
  const flags = ["--die-with-parent", "--drop-capabilities", "--new-pid", "--init", "--user", "1234:1234"];
  const start = async (milliseconds: number): Promise<void> => {
    const child = spawn(launcherIn(join(import.meta.dirname, "../..")), [...flags, "--", "sleep", marker], {
      stdio: "ignore",
    });
    await sleep(milliseconds);
    child.kill("SIGKILL");
  };
  for (let round = 0; round < 40; round += 1) {
    await Promise.all([0, 1, 1, 2, 2, 3, 4, 5].map(start));
  }
  for (let tries = 0; tries < 100 && processesOf(marker).length > 0; tries += 1) {
    await sleep(20);
  }
  assert.deepEqual(processesOf(marker), []);
});

/** A mount namespace with an empty /run, as on a host where nobody has made a named network namespace yet. */
async function freshRun(): Promise<{ run(...args: readonly string[]): Promise<Ended>; end(): void }> {
  const script = "mount -t tmpfs tmpfs /run && echo ready && exec sleep 1000000";
  const holder = spawn("unshare", ["--mount", "sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((done) => holder.stdout.once("data", done));
  const inside = [`--mount=/proc/${holder.pid}/ns/mnt`, "--"];
  return {
    run: (...args) => runProgram("nsenter", [...inside, ...args]),
    end: () => void holder.kill("SIGKILL"),
  };
}

test("the end of a mesh takes nothing from another one: there containers restart, and pods start", async () => {
  const host = await freshRun();
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  const pods = { "web.yaml": server({ name: "web", meshed: false }), "client.yaml": client("client") };
  const path = manifests("second-m", pods);
  const start = (name: string, from: string, state: string): Promise<Ended> =>
    host.run(meshctl, "local", "up", "-f", from, "--name", name, "--state", state);
  const exec = (...args: readonly string[]): Promise<Ended> =>
    host.run(meshctl, "--state", second, "local", "exec", ...args);
  try {
    assert.equal((await start("e2e-first", manifests("first-m", pods), first)).status, 0);
    const started = await start("e2e-second", path, second);
    assert.equal(started.status, 0, started.stderr);
    assert.equal((await host.run(meshctl, "local", "down", "--state", first)).status, 0);
    writeFileSync(join(path, "late.yaml"), client("late", false));
    await exec("web", "--", "sh", "-c", "kill -9 $(pgrep -f '[e]cho.ts')");
    for (const pod of ["late", "web"]) {
      let ended = await exec(pod, "--", "cat", "/proc/net/dev");
      for (let tries = 0; tries < 50 && ended.status !== 0; tries += 1) {
        await sleep(100);
        ended = await exec(pod, "--", "cat", "/proc/net/dev");
      }
      assert.match(ended.stdout, /eth0:/, `${pod}: ${ended.stderr}`);
    }
    assert.notEqual((await host.run("ls", "/run/netns")).status, 0, "a mesh makes nothing there");
  } finally {
    await host.run(meshctl, "local", "down", "--now", "--state", first);
    await host.run(meshctl, "local", "down", "--now", "--state", second);
    host.end();
  }
});
