import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { serve } from "../controller/server.ts";
import { emptyHistogram } from "../metrics/histogram.ts";
import { createStatistics } from "../metrics/statistics.ts";
import { statisticsSubject } from "../wire/keys.ts";
import { findMesh } from "./find-mesh.ts";
import { createProgram } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "meshctl-"));
const state = join(folder, "meshes", "shop");
let server: Server;

/** The controller's server with real statistics, and fixed answers for the rest. */
before(async () => {
  const statistics = createStatistics();
  const latency = emptyHistogram();
  latency[1] = 10;
  const message = {
    version: 1,
    namespace: "shop",
    pod: "web-1",
    workload: { namespace: "shop", kind: "deployment", name: "web" },
    worker: 0,
    startedAt: Date.now() / 1000,
    edges: [
      {
        direction: "to",
        protocol: "http",
        workload: { namespace: "shop", kind: "deployment", name: "catalog" },
        pod: "catalog-1",
        mtls: true,
        total: 10,
        failures: 1,
        latency,
      },
    ],
  };
  statistics.handle(statisticsSubject("shop", "web", "web-1"), Buffer.from(JSON.stringify(message)));
  assert.equal(statistics.counts.taken, 1);
  mkdirSync(state, { recursive: true });
  const route = (path: string, body: unknown) => ({ path, answer: () => ({ status: 200, body }) });
  server = await serve(join(state, "controller.sock"), [
    ...statistics.routes,
    route("/config", { keys: { a: 1 } }),
    route("/status", { version: "1.2.3" }),
    { path: "/services", answer: () => ({ status: 500, body: { error: "out of order" } }) },
  ]);
});

after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

async function run(...args: string[]): Promise<{ printed: string; warned: string }> {
  const result = { printed: "", warned: "" };
  const program = createProgram({
    print: (text) => (result.printed += text),
    warn: (text) => (result.warned += text),
  });
  await program.parseAsync(["--state", state, ...args], { from: "user" });
  return result;
}

test("top: deployments of a namespace, from real statistics", async () => {
  const { printed } = await run("top", "-n", "shop");
  assert.equal(
    printed,
    `Deployment  Incoming Success  Outgoing Success  NumRequests
catalog     90.00%                              10
web                           90.00%            10
`,
  );
});

test("top: one deployment", async () => {
  const { printed } = await run("-n", "shop", "top", "deploy/web");
  assert.equal(
    printed,
    `Deployment  Direction  Resource  Success Rate  P99    P90    P50    NumRequests
web
            To         catalog   90.00%        2.0ms  1.9ms  1.5ms  10
`,
  );
});

test("top: as JSON, of other kinds, and of nothing", async () => {
  const { printed } = await run("top", "pods", "-n", "shop", "-o", "json");
  assert.equal(JSON.parse(printed).resources.length, 2);
  assert.match((await run("top", "namespaces")).printed, /^Namespace .*\nshop +90\.00% +90\.00% +10\n$/);
  assert.equal(
    (await run("top")).printed,
    "No traffic of deployments in namespace default in the last 30 s; there was in shop (choose with -n).\n",
  );
  assert.match(
    (await run("top", "ds/x", "-n", "shop")).printed,
    /^No traffic of daemonsets x in namespace shop/,
  );
});

test("config and version", async () => {
  assert.deepEqual(JSON.parse((await run("config")).printed), { keys: { a: 1 } });
  assert.match(
    (await run("version")).printed,
    /^nginx-meshctl - v.*\nnginx-mesh-controller - v1\.2\.3\nnginx-mesh-sidecar - v1\.2\.3\n$/,
  );
});

test("an error of the controller is told with its reason", async () => {
  await assert.rejects(run("services"), { name: "CommandError", message: /status 500: out of order/ });
});

test("no controller", async () => {
  const question = run("--state", join(folder, "none"), "config");
  await assert.rejects(question, {
    name: "CommandError",
    message: /is not running: nothing listens at .*none/,
  });
  const { printed, warned } = await run("--state", join(folder, "none"), "version");
  assert.match(printed, /^nginx-meshctl - v[^\n]*\n$/);
  assert.match(warned, /is not running/);
});

test("a controller that does not answer, and one that talks nonsense", async () => {
  const silent = join(folder, "silent");
  mkdirSync(silent);
  const mute = createNetServer(() => {}).listen(join(silent, "controller.sock"));
  await assert.rejects(run("--state", silent, "-t", "50ms", "config"), /did not answer within 0\.05 s/);
  mute.close();
  const odd = join(folder, "odd");
  mkdirSync(odd);
  const nonsense = createServer((_request, response) => response.end("<html>")).listen(
    join(odd, "controller.sock"),
  );
  await assert.rejects(run("--state", odd, "config"), /something else than JSON/);
  nonsense.close();
});

test("the mesh is the one that runs, or the one that is named", async () => {
  const root = join(folder, "meshes");
  mkdirSync(join(root, "dead"));
  assert.deepEqual(await findMesh({}, root), { name: "shop", state });
  assert.deepEqual(await findMesh({ mesh: "dead" }, root), { name: "dead", state: join(root, "dead") });
  await assert.rejects(findMesh({ mesh: "x" }, root), /there is no local mesh "x" in .* \(dead, shop\)/);
  await assert.rejects(findMesh({}, join(folder, "nowhere")), /no local mesh is running/);
  const second = createServer().listen(join(root, "dead", "controller.sock"));
  await assert.rejects(
    findMesh({}, root),
    /several local meshes are running \(dead, shop\); choose one with --mesh/,
  );
  second.close();
});
