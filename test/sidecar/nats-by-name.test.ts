/** MESH_NATS is a name: looked up by the sidecar itself, with the pod's name servers and search list. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { join } from "node:path";
import { manifest } from "../e2e/workload.ts";
import { type BareMesh, gateway, startBareMesh } from "./bare-mesh.ts";
import { deployment } from "./manifests.ts";

let mesh: BareMesh;
const nameServer = join(import.meta.dirname, "name-server.ts");
const fullName = "nats-server.nginx-mesh.svc.cluster.local";

function serveNames(names: Readonly<Record<string, readonly string[]>>): Promise<ChildProcess> {
  return mesh.startOnNode(process.execPath, nameServer, gateway.v4, JSON.stringify(names));
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

const ready = (pod: string) => async (): Promise<boolean> => (await mesh.status(pod)).ready;

before(async () => {
  mesh = await startBareMesh({
    manifests: manifest(deployment("web"), deployment("six")),
    services: {},
    serviceRanges: ["10.96.0.0/16"],
    pods: [
      { name: "web", addresses: ["10.66.0.2", "fd66::2"] },
      { name: "six", addresses: ["fd66::3"] },
    ],
    nats: "nats-server.nginx-mesh.svc:4222",
    // the first server is away
    resolvConf: `search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.66.0.99\nnameserver ${gateway.v4}\nnameserver ${gateway.v6}\noptions ndots:5 timeout:1\n`,
  });
});

afterEach((context) => {
  if (!(context as TestContext & { readonly passed: boolean }).passed) {
    (context as TestContext).diagnostic(`${mesh.log("web")}\n-- six\n${mesh.log("six")}`);
  }
});

after(() => mesh?.stop());

test("no name server at start: the sidecar runs, says so, and is not ready", async () => {
  await mesh.until("it says so", async () =>
    /NATS.*cannot resolve "nats-server.nginx-mesh.svc"/.test(mesh.log("web")),
  );
  const { ready: isReady, reason } = await mesh.status("web");
  assert.equal(isReady, false);
  assert.match(String(reason), /no connection to NATS yet: cannot resolve .* name server .* does not answer/);
});

test("the name does not exist yet, then it does: found with the search list", async () => {
  const empty = await serveNames({});
  await mesh.until("it says so", async () =>
    /no such name; asked for nats-server.nginx-mesh.svc.shop.svc.cluster.local, /.test(mesh.log("web")),
  );
  await stop(empty);
  const names = await serveNames({ [fullName]: [gateway.v4] });
  await mesh.until("ready", ready("web"));
  await stop(names);
});

test("a connection that stands needs no name server; the next one asks again and goes to the new address", async () => {
  assert.equal((await mesh.status("web")).ready, true);
  const names = await serveNames({ [fullName]: [gateway.v6] });
  await mesh.restartNats();
  await mesh.until("connected again, over IPv6", async () => {
    const { stdout } = await mesh.run(
      "web",
      "ss",
      "-Htn",
      "state",
      "established",
      "dst",
      `[${gateway.v6}]:4222`,
    );
    return stdout.trim() !== "";
  });
  await stop(names);
});

test("a name server that sends other things without end is waited for no longer than one that is silent", async () => {
  const hostile = await serveNames({ [`${fullName}~`]: [] });
  const names = await mesh.startOnNode(
    process.execPath,
    nameServer,
    gateway.v6,
    JSON.stringify({ [fullName]: [gateway.v4] }),
  );
  await mesh.restartNats();
  await mesh.until("connected again, over IPv4", async () => {
    const to = `${gateway.v4}:4222`;
    const { stdout } = await mesh.run("web", "ss", "-Htn", "state", "established", "dst", to);
    return stdout.trim() !== "";
  });
  await stop(hostile);
  await stop(names);
});

test("a pod with IPv6 only asks a server with an IPv6 address", async () => {
  const names = await mesh.startOnNode(
    process.execPath,
    nameServer,
    gateway.v6,
    JSON.stringify({ [fullName]: [gateway.v4, gateway.v6] }),
  );
  await mesh.until("ready", ready("six"), 20_000);
  await stop(names);
});
