/** The control plane's parts are killed, stopped and emptied under load, and no request fails. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNoFailure, type Load, load, loadOf } from "./load.ts";
import { client, server } from "./manifests.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { partProcess, sidecarProcesses } from "./processes.ts";
import { sidecarStatus } from "./sidecar.ts";

let mesh: TestMesh;
let caller: Load;

before(async () => {
  mesh = await startMesh({
    "web.yaml": server({ name: "web", replicas: 2 }),
    "api.yaml": server({ name: "api", annotations: { "config.nsm.nginx.com/mtls-mode": "strict" } }),
    "load.yaml": load({ rate: 100 }),
  });
  caller = await loadOf(mesh);
});
beforeEach(() => partsRun());
after(() => mesh?.stop());

/** NATS and the controller run, and every sidecar is connected. */
async function partsRun(): Promise<void> {
  await mesh.until("both parts run", (view) =>
    Object.values(view.parts).every((part) => part.state === "running"),
  );
  await eventually("every sidecar is connected to NATS", async () => {
    const { pods } = await mesh.view();
    const states = await Promise.all(pods.filter((pod) => pod.meshed).map(sidecarStatus));
    return states.every((state) => state.nats.state === "connected");
  });
  await eventually("the controller is connected to NATS", async () => {
    const { stdout } = await mesh.meshctl("status", "-o", "json");
    return (JSON.parse(stdout) as { controller: { nats: { connected: boolean } } }).controller.nats.connected;
  });
}

async function eventually(
  what: string,
  check: () => Promise<boolean>,
  milliseconds = 20_000,
): Promise<number> {
  const startedAt = Date.now();
  while (!(await check().catch(() => false))) {
    assert.ok(Date.now() - startedAt < milliseconds, `not so after ${milliseconds / 1000} s: ${what}`);
    await sleep(25);
  }
  return Date.now() - startedAt;
}

/** Requests of the last moment were answered by this many pods. */
async function serves(count: number): Promise<boolean> {
  return (await caller.report()).recent.length === count;
}

/** How many endpoints the caller's sidecar knows. */
async function known(): Promise<number> {
  const { destinations } = await sidecarStatus(await mesh.pod("load"));
  return destinations?.find(({ destination }) => destination.includes("/web "))?.endpoints?.length ?? 0;
}

const web = (replicas: number): string => server({ name: "web", replicas });

test("controller killed: nothing fails, and after its restart changes are in force", async () => {
  const report = await caller.during(async () => {
    process.kill((await partProcess(mesh, "controller")).pid, "SIGKILL");
    await sleep(300);
    mesh.write("web.yaml", web(3));
    await eventually("the new endpoint gets traffic", () => serves(3));
    mesh.write("web.yaml", web(2));
    await eventually("the removed endpoint gets none", () => serves(2));
  });
  assertNoFailure(report, "controller killed", 20);
});

test("a new pod starts while the controller is stopped, and is asked when it goes on", async () => {
  const controller = await partProcess(mesh, "controller");
  const sidecars = async (): Promise<number[]> => {
    const webs = (await mesh.view()).pods.filter((pod) => pod.owner === "deployment/web");
    return webs.flatMap((pod) => sidecarProcesses(mesh, pod).workers.map((worker) => worker.pid));
  };
  const workers = await sidecars();
  const known = (await mesh.view()).pods.map(({ name }) => name);
  const report = await caller.during(async () => {
    process.kill(controller.pid, "SIGSTOP");
    try {
      // another pod of a workload whose settings are known: all that it needs is in NATS
      mesh.write("web.yaml", web(3));
      await mesh.until("the new pod is ready without the controller", (view) => {
        const webs = view.pods.filter((pod) => pod.owner === "deployment/web");
        return webs.length === 3 && webs.every((pod) => pod.ready);
      });
      const { pods } = await mesh.view();
      const fresh = pods.find((pod) => pod.owner === "deployment/web" && !known.includes(pod.name))!;
      // nobody has been told its address, but whom it may call and who it is, it has from NATS and its Workload API
      const { stdout, stderr } = await mesh.exec(fresh.name, "curl", "-sS", "--max-time", "5", "http://api/");
      assert.match(stdout, /"pod":"api-/, stderr);
      assert.match(stdout, /"X-Forwarded-Client-Cert","By=\S+?\/sa\/api;URI=\S+?\/sa\/web"/);
    } finally {
      process.kill(controller.pid, "SIGCONT");
    }
    await eventually("the new endpoint gets traffic", () => serves(3));
    mesh.write("web.yaml", web(2));
    await eventually("the removed endpoint gets none", () => serves(2));
  });
  assertNoFailure(report, "controller stopped", 20);
  assert.deepEqual(await sidecars(), workers, "the sidecars' workers are the same");
});

test("NATS killed: nothing fails, and after its restart changes are in force", async () => {
  const report = await caller.during(async () => {
    process.kill((await partProcess(mesh, "nats")).pid, "SIGKILL");
    mesh.write("web.yaml", web(3));
    await eventually("the new endpoint gets traffic", () => serves(3));
    mesh.write("web.yaml", web(2));
    await eventually("the removed endpoint gets none", () => serves(2));
  });
  assertNoFailure(report, "NATS killed", 20);
});

test("NATS stands still for seconds: first traffic to a Service waits for it", async () => {
  const { pid } = await partProcess(mesh, "nats");
  process.kill(pid, "SIGSTOP");
  const first = mesh.exec("load", "curl", "-sS", "--max-time", "10", "-w", "%{http_code}", "http://api/");
  try {
    await sleep(2500);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  const { stdout, stderr } = await first;
  assert.match(stdout, /"pod":"api-[^]*200$/, stderr);
});

test("NATS restarts with empty storage: nothing fails, and the bucket is filled again", async () => {
  const store = join(mesh.layout.nats, "store");
  const report = await caller.during(async () => {
    const nats = await partProcess(mesh, "nats");
    process.kill(nats.pid, "SIGSTOP");
    rmSync(store, { recursive: true, force: true });
    process.kill(nats.pid, "SIGKILL");
    await mesh.until(
      "NATS runs again",
      (view) => view.parts["nats"]?.state === "running" && view.parts["nats"].pid !== nats.pids[1],
    );
    await partsRun();
    await sleep(1_000);
    // a pod that asks for everything anew
    mesh.write("late.yaml", client("late"));
    await mesh.until("the late pod is ready", (view) =>
      view.pods.some((pod) => pod.owner === "deployment/late" && pod.ready),
    );
    const { stdout, stderr } = await mesh.exec("late", "curl", "-sS", "--max-time", "5", "http://web/");
    assert.match(stdout, /"pod":"web-/, stderr);
    mesh.write("web.yaml", web(3));
    await eventually("the new endpoint gets traffic", () => serves(3));
    mesh.write("web.yaml", web(2));
    await eventually("the removed endpoint gets none", () => serves(2));
    mesh.write("late.yaml", undefined);
  });
  assertNoFailure(report, "NATS with empty storage", 20);
});

test("both killed at once, while an endpoint comes", async () => {
  const report = await caller.during(async () => {
    process.kill((await partProcess(mesh, "nats")).pid, "SIGKILL");
    process.kill((await partProcess(mesh, "controller")).pid, "SIGKILL");
    mesh.write("web.yaml", web(3));
    await partsRun();
    await eventually("the new endpoint gets traffic", () => serves(3));
  });
  assertNoFailure(report, "both killed", 20);
});

test("both stopped while endpoints go: nothing fails, though no sidecar hears of it", async () => {
  const parts = [await partProcess(mesh, "nats"), await partProcess(mesh, "controller")];
  const report = await caller.during(async () => {
    parts.forEach(({ pid }) => process.kill(pid, "SIGSTOP"));
    try {
      mesh.write("web.yaml", web(1));
      await mesh.until(
        "two pods are gone",
        (view) => view.pods.filter((pod) => pod.owner === "deployment/web").length === 1,
      );
      // long enough to try the endpoints that are gone again
      await sleep(2_500);
      assert.equal(await known(), 3, "the sidecar has heard of it");
    } finally {
      parts.forEach(({ pid }) => process.kill(pid, "SIGCONT"));
    }
    await eventually("the sidecar knows one endpoint", async () => (await known()) === 1);
  });
  assertNoFailure(report, "both stopped while endpoints go", 20);
});
