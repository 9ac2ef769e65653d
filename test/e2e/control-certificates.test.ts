/** SVIDs of a short life, and another certificate authority: both under load, without a failed request. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { watchSvid } from "../../src/identity/workload-client.ts";
import type { PodView } from "../../src/local/control.ts";
import { podFolder } from "../../src/local/layout.ts";
import { assertNoFailure, type Load, load, loadOf } from "./load.ts";
import { server } from "./manifests.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { meshProcesses, sidecarProcesses } from "./processes.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";

const svidSeconds = 8;
let mesh: TestMesh;
let caller: Load;

before(async () => {
  mesh = await startMesh(
    {
      "mesh.yaml": server({
        name: "web",
        replicas: 2,
        env: { DELAY: "100" },
        annotations: { "config.nsm.nginx.com/mtls-mode": "strict" },
      }),
      "load.yaml": load({ rate: 100, connections: 20 }),
    },
    { flags: ["--svid-ttl", `${svidSeconds}s`, "--ca-overlap", "3s"] },
  );
  caller = await loadOf(mesh);
});
afterEach((context) => showSidecars(context as TestContext, mesh));
after(() => mesh?.stop());

async function meshed() {
  return (await mesh.view()).pods.filter((pod) => pod.meshed);
}

async function reconnected(pod: PodView): Promise<boolean> {
  const { nats } = await sidecarStatus(pod);
  return nats.state === "connected" && nats.reconnects > 0;
}

async function workers(): Promise<number[]> {
  return (await meshed()).flatMap((pod) => sidecarProcesses(mesh, pod).workers.map(({ pid }) => pid));
}

/**
 * Ever more requests at once, so that kept connections never suffice: new ones resume TLS sessions, which begin with an
 * SVID that ends.
 */
async function moreAndMore(end: number): Promise<void> {
  const script =
    'for i in $(seq "$1"); do curl -sSf --max-time 5 http://web/ & pids="$pids $!"; done; for p in $pids; do wait $p || exit 1; done';
  for (let count = 24; Date.now() < end; count += 4) {
    const { status, stderr } = await mesh.exec("load", "sh", "-c", script, "sh", String(count));
    assert.equal(status, 0, stderr);
    await sleep(1_000);
  }
}

test("SVIDs rotate at half their life, in the same workers, and nothing fails", async () => {
  const before = await workers();
  const updates = await Promise.all(
    (await meshed()).map(async (pod) => (await sidecarStatus(pod)).svid.updates),
  );
  const report = await caller.during(() => moreAndMore(Date.now() + 2.2 * svidSeconds * 1000), 100);
  assertNoFailure(report, "rotation of SVIDs", 500);
  for (const [index, pod] of (await meshed()).entries()) {
    const { svid } = await sidecarStatus(pod);
    const more = svid.updates - updates[index]!;
    assert.ok(more >= 3 && more <= 7, `${pod.name} has got ${more} new SVIDs in 2.2 lives`);
    assert.ok(svid.expiresAt * 1000 > Date.now(), `${pod.name} has an expired SVID`);
  }
  assert.deepEqual(await workers(), before);
});

/** What the Workload API gave at a time (milliseconds since the epoch); certificates of the bundle in base64. */
interface Seen {
  readonly at: number;
  readonly bundle: readonly string[];
  readonly svid: X509Certificate;
}

function isSignedBy({ svid }: Seen, authority: string): boolean {
  return svid.verify(new X509Certificate(Buffer.from(authority, "base64")).publicKey);
}

async function untilSeen(what: string, satisfied: () => boolean): Promise<void> {
  const end = Date.now() + 40_000;
  while (!satisfied()) {
    assert.ok(Date.now() < end, `${what} after 40 s`);
    await sleep(50);
  }
}

test("another certificate authority: nothing fails, it signs after the overlap, and the old one goes when its last SVID ends", async () => {
  const before = await workers();
  const { number } = await mesh.pod("web");
  const seen: Seen[] = [];
  const watch = watchSvid(join(podFolder(mesh.layout, number), "spire", "agent.sock"), (identity) => {
    const bundle = identity.bundle.map((certificate) => Buffer.from(certificate).toString("base64"));
    seen.push({ at: Date.now(), bundle, svid: new X509Certificate(identity.certificates[0]!) });
  });
  try {
    await watch.first;
    const [old, ...others] = seen[0]!.bundle;
    assert.ok(old !== undefined && others.length === 0);
    await untilSeen("no new SVID", () => seen.length > 1);
    // the next SVID is due at half the life of this one: well within the overlap
    await sleep(2_500);
    const report = await caller.during(async () => {
      const { status, stderr } = await mesh.meshctl("local", "rotate-ca");
      assert.equal(status, 0, stderr);
      await untilSeen("the old authority is still trusted", () => !seen.at(-1)!.bundle.includes(old));
      await sleep(1_000);
    });
    assertNoFailure(report, "rotation of the authority", 500);
    const published = seen.find(({ bundle }) => bundle.length === 2 && bundle.includes(old));
    assert.ok(published !== undefined, "both authorities were trusted for a while");
    const successor = published.bundle.find((authority) => authority !== old)!;
    const signs = seen.find((each) => isSignedBy(each, successor));
    const untilIt = (signs?.at ?? 0) - published.at;
    assert.ok(untilIt > 2_500, `it signs ${untilIt} ms after it was published, with an overlap of 3 s`);
    const gone = seen.find(({ at, bundle }) => at > published.at && !bundle.includes(old))!;
    const ends = seen.filter((each) => isSignedBy(each, old)).map(({ svid }) => Date.parse(svid.validTo));
    assert.ok(
      gone.at >= Math.max(...ends),
      `gone ${Math.max(...ends) - gone.at} ms before its last SVID ends`,
    );
    assert.deepEqual(seen.at(-1)!.bundle, [successor]);
  } finally {
    watch.close();
  }
  assert.deepEqual(await workers(), before);
});

test("a killed NATS and a killed controller come back with SVIDs of the new authority", async () => {
  for (const part of meshProcesses(mesh).filter(({ title }) => /nats-server|controller\.mjs/.test(title))) {
    process.kill(part.pid, "SIGKILL");
  }
  await mesh.until("both run again", (view) =>
    Object.values(view.parts).every((part) => part.state === "running" && part.restarts > 0),
  );
  for (const pod of await meshed()) {
    const end = Date.now() + 15_000;
    while (!(await reconnected(pod))) {
      assert.ok(Date.now() < end, `${pod.name} has no connection to NATS`);
      await sleep(50);
    }
  }
});

test("no private key of an SVID is in a pod's folder or in a log", () => {
  const roots = [mesh.layout.pods, mesh.layout.logs, mesh.layout.status];
  const files = roots.flatMap((root) => (root.endsWith(".json") ? [root] : filesBelow(root)));
  assert.ok(files.length > 3);
  for (const file of files) {
    assert.doesNotMatch(readFileSync(file, "latin1"), /PRIVATE KEY/, file);
  }
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
