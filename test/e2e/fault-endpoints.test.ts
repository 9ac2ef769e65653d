/** Endpoints come and go under load, and no request fails. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertNoFailure, type Load, load, loadOf } from "./load.ts";
import { server } from "./manifests.ts";
import { startMesh, type TestMesh } from "./mesh.ts";

let mesh: TestMesh;
let client: Load;
/** Milliseconds; with this many connections there are always half-sent answers, which nobody can ask for again. */
const delay = 50;
const connections = 10;
const web = (options: { replicas: number; env?: Record<string, string>; lingering?: boolean }) =>
  server({ name: "web", ...options, env: { DELAY: String(delay), ...options.env } });

before(async () => {
  mesh = await startMesh({ "web.yaml": web({ replicas: 2 }), "load.yaml": load({ rate: 150, connections }) });
  client = await loadOf(mesh);
});
after(() => mesh?.stop());

/** The workload has this many pods, all ready and none ending. */
const ready =
  (name: string, count: number) =>
  (view: Awaited<ReturnType<TestMesh["view"]>>): boolean => {
    const own = view.pods.filter((pod) => pod.owner === `deployment/${name}`);
    return own.length === count && own.every((pod) => pod.ready && !pod.terminating);
  };

test("more and fewer replicas: new ones get traffic, old ones end, nothing fails", async () => {
  const report = await client.during(async () => {
    mesh.write("web.yaml", web({ replicas: 4 }));
    await mesh.until("4 replicas", ready("web", 4));
    await new Promise((done) => setTimeout(done, 500));
    mesh.write("web.yaml", web({ replicas: 1 }));
    await mesh.until("1 replica", ready("web", 1));
    mesh.write("web.yaml", web({ replicas: 2 }));
    await mesh.until("2 replicas", ready("web", 2));
  });
  assertNoFailure(report, "replicas up and down");
  assert.ok(Object.keys(report.pods).length >= 4, `answers came from ${JSON.stringify(report.pods)}`);
});

test("fewer replicas, and callers without a sidecar: their kept connections end before the applications do", async () => {
  mesh.write("web.yaml", web({ replicas: 4, lingering: true }));
  await mesh.until("4 replicas", ready("web", 4));
  // several seconds of quiet on each connection: many more are idle than in use
  mesh.write("plain.yaml", load({ name: "plain", meshed: false, rate: 20, connections: 40 }));
  await mesh.until("the caller", ready("plain", 1));
  const plain = await loadOf(mesh, "plain");
  const report = await plain.during(async () => {
    await new Promise((done) => setTimeout(done, 2500));
    mesh.write("web.yaml", web({ replicas: 1, lingering: true }));
    await mesh.until("1 replica", ready("web", 1));
  });
  assertNoFailure(report, "callers without a sidecar");
  assert.ok(Object.keys(report.pods).length >= 4, `answers came from ${JSON.stringify(report.pods)}`);
  mesh.write("plain.yaml", undefined);
  mesh.write("web.yaml", web({ replicas: 2 }));
  await mesh.until("2 replicas", ready("web", 2));
});

test("a change of the template replaces all pods, nothing fails", async () => {
  const before = (await mesh.view()).pods.map((pod) => pod.name);
  for (const round of ["1", "2"]) {
    const report = await client.during(async () => {
      mesh.write("web.yaml", web({ replicas: 2, env: { ROUND: round } }));
      await mesh.until(
        "new pods only",
        (view) =>
          ready("web", 2)(view) &&
          view.pods.every((pod) => !pod.owner.endsWith("/web") || pod.environment["ROUND"] === round),
      );
    });
    assertNoFailure(report, `rolling update ${round}`);
    const fresh = Object.keys(report.pods).filter((name) => !before.includes(name));
    assert.ok(fresh.length >= 2, `answers came from ${JSON.stringify(report.pods)}`);
  }
});

test("a second workload behind the Service is deleted, nothing fails", async () => {
  const extra = server({ name: "extra", replicas: 2, env: { DELAY: String(delay) } }).replaceAll(
    '"app": "extra"',
    '"app": "web"',
  );
  mesh.write("extra.yaml", extra);
  await mesh.until("the second workload is ready", ready("extra", 2));
  const report = await client.during(async () => {
    await new Promise((done) => setTimeout(done, 500));
    mesh.write("extra.yaml", undefined);
    await mesh.until("it is gone", ready("extra", 0));
  });
  assertNoFailure(report, "deletion of a workload");
  assert.ok(
    Object.keys(report.pods).some((name) => name.startsWith("extra-")),
    `answers came from ${JSON.stringify(report.pods)}`,
  );
});
