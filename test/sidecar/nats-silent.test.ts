/** NATS stands still for longer than a sidecar waits for the answer to a ping, here two seconds instead of forty. */
import assert from "node:assert/strict";
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { manifest } from "../e2e/workload.ts";
import { type BareMesh, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;
const program = mkdtempSync(join(tmpdir(), "sidecar-"));

/** The sidecar as it was built, but for the time between two pings. */
function pingOften(): void {
  cpSync(join(import.meta.dirname, "../../build/sidecar"), program, { recursive: true });
  // the sidecar's user reads it
  chmodSync(program, 0o755);
  const file = join(program, "lua/sidecar/host/nats-session.lua");
  const built = readFileSync(file, "utf8");
  const limit = "3 * pingInterval * 1000";
  assert.ok(built.includes("local pingInterval = 20\n") && built.includes(limit));
  writeFileSync(file, built.replace("pingInterval = 20\n", "pingInterval = 1\n").replace(limit, "60000"));
}

before(async () => {
  pingOften();
  mesh = await startBareMesh({
    manifests: manifest(
      deployment("client"),
      deployment("web"),
      service("web", "web", [{ name: "http", port: 80, target: 8080 }]),
    ),
    services: { web: ["10.99.0.10"] },
    serviceRanges: ["10.99.0.0/24"],
    pods: [
      { name: "client", addresses: ["10.66.0.2"] },
      { name: "web", addresses: ["10.66.0.3"], app: "e2e/apps/anything.ts" },
    ],
    sidecarProgram: program,
  });
  for (const pod of ["client", "web"]) {
    await mesh.until(`${pod} is ready`, async () => (await mesh.status(pod)).ready);
  }
});

afterEach((context) => {
  if (!(context as TestContext & { readonly passed: boolean }).passed) {
    (context as TestContext).diagnostic(mesh.log("client"));
  }
});

after(async () => {
  await mesh?.stop();
  rmSync(program, { recursive: true, force: true });
});

test("the connection is made anew, and what traffic needs is asked for", async () => {
  mesh.signalNats("SIGSTOP");
  try {
    await sleep(3000);
  } finally {
    mesh.signalNats("SIGCONT");
  }
  const answer = await mesh.run("client", "curl", "-sS", "-m", "10", "http://10.99.0.10/");
  assert.match(answer.stdout, /"pod":"web"/, answer.stderr);
  assert.match(mesh.log("client"), /NATS connection: no answer to a ping for 1 s/);
});

test("without NATS first traffic waits for a second, at whatever part of one it begins", async () => {
  mesh.signalNats("SIGKILL");
  // a NATS that is gone a moment ago is waited for longer
  await sleep(6500);
  const waits = Array.from({ length: 8 }, async (_, i) => {
    await sleep(i * 130);
    const startedAt = Date.now();
    await mesh.run("client", "curl", "-sS", "-m", "10", `http://10.99.0.${20 + i}/`);
    return Date.now() - startedAt;
  });
  for (const wait of await Promise.all(waits)) {
    assert.ok(wait >= 1000 && wait < 2500, `${wait} ms`);
  }
});

test("a sidecar that ends does not wait for NATS", async () => {
  const startedAt = Date.now();
  await mesh.endSidecar("client", "SIGQUIT");
  assert.ok(Date.now() - startedAt < 4000, `${Date.now() - startedAt} ms`);
});
