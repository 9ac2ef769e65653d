/** Changes of manifests are in force soon, in the same nginx processes, and reach only who uses them. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNoFailure, type Load, load, loadOf } from "./load.ts";
import { client, server } from "./manifests.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { sidecarProcesses } from "./processes.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { meshConfig } from "./workload.ts";

/** Milliseconds; the bench has the stricter goal. */
const soon = 500;
const manyServices = 60;

let mesh: TestMesh;
let caller: Load;
let processes: string;

/** Services that nobody asks for. */
function unused(): string {
  const services = Array.from({ length: manyServices }, (_, index) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: `unused-${index}` },
    spec: { selector: { app: "web-a" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  }));
  return JSON.stringify({ apiVersion: "v1", kind: "List", items: services });
}

function split(weights: { readonly a: number; readonly b: number }): string {
  return JSON.stringify({
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: "web" },
    spec: {
      service: "web",
      backends: [
        { service: "web-a", weight: weights.a },
        { service: "web-b", weight: weights.b },
      ],
    },
  });
}

before(async () => {
  const root = { apiVersion: "v1", kind: "Service", metadata: { name: "web" } };
  const spec = { selector: { split: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] };
  mesh = await startMesh({
    "a.yaml": server({ name: "web-a" }),
    "b.yaml": server({ name: "web-b" }),
    "web.yaml": JSON.stringify({ ...root, spec }),
    "split.yaml": split({ a: 1, b: 0 }),
    "mesh.yaml": meshConfig({}),
    "unused.yaml": unused(),
    "plain.yaml": client("plain", false),
    "load.yaml": load({ rate: 150 }),
  });
  caller = await loadOf(mesh);
  processes = await present();
});
afterEach((context) => showSidecars(context as TestContext, mesh));
after(() => mesh?.stop());

/** Process ids of all sidecars' masters and workers. */
async function present(): Promise<string> {
  const pods = (await mesh.view()).pods.filter((pod) => pod.meshed);
  const lines = pods.map((pod) => {
    const { master, workers } = sidecarProcesses(mesh, pod);
    return `${pod.name}: ${master.pid} ${workers.map(({ pid }) => pid).join(" ")}`;
  });
  return lines.sort().join("\n");
}

/** Resolves with the milliseconds that it took. */
async function inForce(what: string, check: () => Promise<boolean>, milliseconds = 10_000): Promise<number> {
  const startedAt = Date.now();
  while (!(await check().catch(() => false))) {
    assert.ok(Date.now() - startedAt < milliseconds, `not in force after ${milliseconds / 1000} s: ${what}`);
    await sleep(5);
  }
  return Date.now() - startedAt;
}

test("a weight is in force soon, for the next request, and no request fails", async () => {
  const took: number[] = [];
  const report = await caller.during(async () => {
    for (let round = 0; round < 10; round += 1) {
      const [to, weights] =
        round % 2 === 0 ? (["web-b", { a: 0, b: 1 }] as const) : (["web-a", { a: 1, b: 0 }] as const);
      const startedAt = Date.now();
      mesh.write("split.yaml", split(weights));
      await inForce(`all to ${to}`, async () => {
        const { latest } = await caller.report();
        return latest.length > 0 && latest.every(({ pod }) => pod.startsWith(to));
      });
      const { latest } = await caller.report();
      took.push(Math.min(...latest.map(({ at }) => at)) - startedAt);
    }
  });
  assertNoFailure(report, "changes of weights", 100);
  assert.ok(Math.max(...took) < soon, `took ${took.join(", ")} ms`);
  assert.equal(await present(), processes);
});

test("a sidecar holds the keys that it uses, not those of every Service", async () => {
  const user = await sidecarStatus(await mesh.pod("load"));
  const other = await sidecarStatus(await mesh.pod("web-a"));
  assert.ok(user.configuration.keys < 20, `${user.configuration.keys} keys`);
  assert.ok(other.configuration.keys < 20, `${other.configuration.keys} keys`);
  const before = user.configuration.keys;
  const { stdout, stderr } = await mesh.exec("load", "curl", "-sS", "--max-time", "5", "http://unused-7/");
  assert.match(stdout, /"pod":"web-a-/, stderr);
  const more = (await sidecarStatus(await mesh.pod("load"))).configuration.keys - before;
  assert.ok(more >= 1 && more <= 4, `${more} keys more for one Service`);
});

test("the largest body, the mTLS mode and the log level change in the running worker", async () => {
  const pod = await mesh.pod("web-a");
  const post = async (): Promise<string> => {
    const body =
      "head -c 2000000 /dev/zero | curl -sS -o /dev/null -w '%{http_code}' --data-binary @- http://web-a/";
    return (await mesh.exec("load", "sh", "-c", body)).stdout;
  };
  assert.equal(await post(), "413");
  mesh.write("mesh.yaml", meshConfig({ clientMaxBodySize: "4m" }));
  const size = await inForce(
    "4m",
    async () => (await sidecarStatus(pod)).configuration.clientMaxBodySize === 4_194_304,
  );
  assert.ok(size < soon, `${size} ms`);
  assert.equal(await post(), "200");

  const plain = async (): Promise<string> =>
    (
      await mesh.exec(
        "plain",
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        "5",
        "http://web-a/",
      )
    ).stdout;
  assert.equal(await plain(), "200");
  mesh.write("mesh.yaml", meshConfig({ mtls: { mode: "strict" } }));
  const mode = await inForce(
    "strict",
    async () => (await sidecarStatus(pod)).configuration.mtlsMode === "strict",
  );
  assert.ok(mode < soon, `${mode} ms`);
  assert.notEqual(await plain(), "200");

  const infos = (): number => mesh.log(pod, "sidecar").split("[info]").length - 1;
  assert.equal(infos(), 0);
  mesh.write("mesh.yaml", meshConfig({ nginxErrorLogLevel: "info" }));
  await inForce(
    "permissive again",
    async () => (await sidecarStatus(pod)).configuration.mtlsMode === "permissive",
  );
  assert.equal(await plain(), "200");
  await inForce("more is logged", async () => infos() > 0);
  mesh.write("mesh.yaml", meshConfig({}));
  await sleep(soon);
  const logged = infos();
  assert.equal(await plain(), "200");
  await sleep(200);
  assert.equal(infos(), logged, "less is logged again");
  assert.equal(await present(), processes);
});

test("a Service that appears can be used soon, and one that goes cannot", async () => {
  const added = JSON.stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "added" },
    spec: { selector: { app: "web-b" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  });
  const ask = async (host: string): Promise<boolean> =>
    (await mesh.exec("load", "curl", "-sS", "-f", "--max-time", "5", `http://${host}/`)).status === 0;
  assert.equal(await ask("added"), false);
  mesh.write("added.yaml", added);
  await inForce("the Service appears", () => ask("added"));
  const address = (await mesh.exec("load", "getent", "ahostsv4", "added")).stdout.split(" ")[0]!;
  assert.equal(await ask(address), true);
  mesh.write("added.yaml", undefined);
  // by its address too, which the name servers have no part in
  await inForce("the Service is gone", async () => !(await ask(address)));
  assert.equal(await ask("added"), false);
  assert.equal(await present(), processes);
});
