/** Sidecars are killed and attacked; what is not hit itself goes on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNoFailure, type Load, load, loadOf } from "./load.ts";
import { client, server } from "./manifests.ts";
import { meshctl, startMesh, type TestMesh } from "./mesh.ts";
import { sidecarProcesses } from "./processes.ts";
import { showSidecars } from "./sidecar.ts";

const connections = 4;
let mesh: TestMesh;
let caller: Load;

before(async () => {
  mesh = await startMesh({
    "web.yaml": server({ name: "web", replicas: 2 }),
    "load.yaml": load({ rate: 100, connections }),
    "client.yaml": client("client"),
    "plain.yaml": client("plain", false),
  });
  caller = await loadOf(mesh);
});
afterEach((context) => showSidecars(context as TestContext, mesh));
after(() => mesh?.stop());

/** Process ids of the workers of the pod's sidecar. */
async function workersOf(name: string): Promise<number[]> {
  return sidecarProcesses(mesh, await mesh.pod(name)).workers.map(({ pid }) => pid);
}

async function untilOtherWorker(name: string, before: readonly number[]): Promise<void> {
  const end = Date.now() + 15_000;
  for (;;) {
    const now = await workersOf(name).catch(() => []);
    if (now.length > 0 && now.every((pid) => !before.includes(pid))) {
      return;
    }
    assert.ok(Date.now() < end, `no other worker in the sidecar of ${name}`);
    await sleep(20);
  }
}

for (const side of ["load", "web"] as const) {
  test(`worker of the sidecar of ${side} killed: only what it had in flight fails`, async () => {
    const report = await caller.during(async () => {
      const before = await workersOf(side);
      process.kill(before[0]!, "SIGKILL");
      await untilOtherWorker(side, before);
      await sleep(1_000);
    });
    // each connection has at most one request in flight
    assert.ok(
      report.failures.length <= connections,
      `${report.failures.length} failures: ${JSON.stringify(report.failures.slice(0, 8))}`,
    );
    assert.ok(report.requests > 100);
    assertNoFailure(await caller.during(() => sleep(500)), "after the new worker has started");
  });
}

/** The first may take the others with it. */
function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
    }
  }
}

test("master and worker of a server's sidecar killed: it starts again, and is used again", async () => {
  const pod = await mesh.pod("web");
  const restarts = (name: string, view: Awaited<ReturnType<TestMesh["view"]>>): number =>
    view.pods.find((each) => each.name === name)?.containers.find((each) => each.name === "sidecar")
      ?.restarts ?? 0;
  const before = restarts(pod.name, await mesh.view());
  const report = await caller.during(async () => {
    const { master, workers } = sidecarProcesses(mesh, pod);
    killAll([master, ...workers].map(({ pid }) => pid));
    await mesh.until("the sidecar has started again and the pod is ready", (view) => {
      const now = view.pods.find((each) => each.name === pod.name);
      return now?.ready === true && restarts(pod.name, view) > before;
    });
    await sleep(1_000);
  });
  assert.ok(report.failures.length <= connections, JSON.stringify(report.failures.slice(0, 8)));
  const { recent } = await caller.report();
  assert.ok(recent.includes(pod.name), `answers come from ${recent.join(", ")}`);
});

test("the client's own sidecar killed whole: it starts again, and requests succeed again", async () => {
  const pod = await mesh.pod("load");
  const { master, workers } = sidecarProcesses(mesh, pod);
  killAll([master, ...workers].map(({ pid }) => pid));
  await untilOtherWorker(
    "load",
    workers.map(({ pid }) => pid),
  );
  await mesh.until("the pod is ready", (view) =>
    view.pods.some((each) => each.name === pod.name && each.ready),
  );
  assertNoFailure(await caller.during(() => sleep(500)), "after the sidecar has started again");
});

async function attack(
  from: string,
  kind: string,
  host: string,
  port: number,
): Promise<{ ended: string; answer: string; reason: string }[]> {
  const { status, stdout, stderr } = await mesh.exec(from, "node", "attack.ts", kind, host, String(port));
  assert.equal(status, 0, `${kind} from ${from}: ${stderr}`);
  return JSON.parse(stdout) as { ended: string; answer: string; reason: string }[];
}

for (const kind of ["garbage", "headers"]) {
  test(`${kind} at 8900 and 8901, from inside and outside: the sidecar refuses and goes on`, async () => {
    const [own, target] = [await mesh.pod("load"), await mesh.pod("web")];
    const before = [...(await workersOf("load")), ...(await workersOf("web"))];
    const report = await caller.during(async () => {
      const all = await Promise.all([
        attack("load", kind, "127.0.0.1", 8900),
        attack("load", kind, "127.0.0.1", 8901),
        attack("plain", kind, own.address, 8900),
        attack("plain", kind, target.address, 8901),
        attack("plain", kind, target.address, 8080),
        attack("client", kind, target.address, 8901),
      ]);
      for (const { answer } of all.flat()) {
        assert.doesNotMatch(answer, /^HTTP\/1\.1 200/, answer);
      }
      if (kind === "headers") {
        const reasons = all[4].map(({ reason }) => reason);
        assert.deepEqual(
          reasons,
          ["header-too-large", "header-too-large"],
          "by the sidecar, not the application",
        );
      }
    });
    assertNoFailure(report, kind);
    assert.deepEqual([...(await workersOf("load")), ...(await workersOf("web"))], before);
  });
}

test("slow clients hold nobody up, and are served", async () => {
  const target = await mesh.pod("web");
  const count = 300;
  const slow = async (from: string, host: string, port: number): Promise<void> => {
    const command = ["node", "attack.ts", "slow", host, String(port), String(count)];
    const { stdout, stderr } = await mesh.exec(from, ...command);
    assert.equal(stdout.trim(), JSON.stringify({ open: count, answered: count }), `${from}: ${stderr}`);
  };
  const report = await caller.during(() =>
    Promise.all([slow("client", "web", 80), slow("plain", target.address, 8080)]),
  );
  assertNoFailure(report, "slow clients");
  assert.ok(report.longest < 1_000, `the longest request took ${report.longest} ms`);
});

test("10,000 idle connections through one sidecar: it goes on answering", async (context) => {
  const idle = 10_000;
  const before = sidecarProcesses(mesh, await mesh.pod("client")).workers[0]!.resident;
  const args = ["--state", mesh.layout.state, "local", "exec", "client", "--"];
  const child = spawn(meshctl, [...args, "node", "attack.ts", "idle", "web", "80", String(idle)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  try {
    const report = await caller.during(async () => {
      const opened = JSON.parse((await lines.next()).value as string) as object;
      assert.deepEqual(opened, { open: idle, answered: idle, closed: 0 });
      const { status, stderr } = await mesh.exec(
        "client",
        "curl",
        "-sS",
        "-f",
        "--max-time",
        "5",
        "http://web/",
      );
      assert.equal(status, 0, stderr);
    });
    assertNoFailure(report, "idle connections");
    const resident = hostWorker(await mesh.pod("client")) - before;
    context.diagnostic(
      `the client's sidecar grew by ${Math.round(resident / 1024)} MiB for ${idle} connections`,
    );
    child.stdin.end();
    const closing = JSON.parse((await lines.next()).value as string) as object;
    assert.deepEqual(closing, { open: idle, answered: idle, closed: 0 });
  } finally {
    child.kill("SIGKILL");
  }
  assertNoFailure(await caller.during(() => sleep(500)), "after the idle connections have ended");
});

function hostWorker(pod: Awaited<ReturnType<TestMesh["pod"]>>): number {
  return sidecarProcesses(mesh, pod).workers[0]!.resident;
}
