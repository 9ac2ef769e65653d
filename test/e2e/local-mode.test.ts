/** Local mode without a mesh in between: pods, names, Service addresses, lifetimes, and nothing left behind. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { client, server } from "./manifests.ts";
import { type Ended, startMesh, type TestMesh } from "./mesh.ts";

let mesh: TestMesh;

before(async () => {
  mesh = await startMesh({
    "web.yaml": server({ name: "web", replicas: 3, meshed: false }),
    "peers.yaml": server({ name: "peers", kind: "StatefulSet", replicas: 2, headless: true, meshed: false }),
    "far.yaml": server({ name: "far", namespace: "other", meshed: false }),
    "none.yaml": server({ name: "none", replicas: 0, meshed: false }),
    "client.yaml": client("client", false),
  });
});

after(() => mesh?.stop());

async function get(url: string, from = "client"): Promise<Ended & { pod: string }> {
  const ended = await mesh.exec(from, "curl", "-sS", "--max-time", "5", url);
  const body = ended.status === 0 ? (JSON.parse(ended.stdout) as { pod: string }) : { pod: "" };
  return { ...ended, pod: body.pod };
}

test("a Service is reached by every form of its name, and by its address", async () => {
  for (const name of [
    "web",
    "web.default",
    "web.default.svc",
    "web.default.svc.cluster.local",
    "far.other",
  ]) {
    const { pod, stderr } = await get(`http://${name}/`);
    assert.match(pod, /^(web|far)-/, `${name}: ${stderr}`);
  }
  const address = (await mesh.exec("client", "getent", "ahostsv4", "web")).stdout.split(" ")[0];
  assert.match((await get(`http://${address}/`)).pod, /^web-/);
});

test("all endpoints of a Service get connections, its own pods can call it, and the host too", async () => {
  const seen = new Set<string>();
  for (let i = 0; i < 30 && seen.size < 3; i += 1) {
    seen.add((await get("http://web/")).pod);
  }
  assert.equal(seen.size, 3);
  for (let i = 0; i < 6; i += 1) {
    assert.match((await get("http://web/", "web")).pod, /^web-/);
  }
  const address = (await mesh.exec("client", "getent", "ahostsv4", "web")).stdout.split(" ")[0];
  assert.match(await (await fetch(`http://${address}/`)).text(), /"pod":"web-/);
  const pod = await mesh.pod("web");
  assert.match(await (await fetch(`http://${pod.address}:8080/`)).text(), new RegExp(`"pod":"${pod.name}"`));
});

test("a headless Service has the addresses of its pods, and each pod of a StatefulSet a name", async () => {
  const listed = await mesh.exec("client", "getent", "ahostsv4", "peers");
  const addresses = new Set(listed.stdout.split("\n").flatMap((line) => line.split(" ")[0] || []));
  const pods = (await mesh.view()).pods.filter((pod) => pod.owner === "statefulset/peers");
  assert.deepEqual([...addresses].sort(), pods.map((pod) => pod.address).sort());
  assert.equal((await get("http://peers-1.peers:8080/")).pod, "peers-1");
  assert.equal((await get("http://peers-0.peers.default.svc.cluster.local:8080/")).pod, "peers-0");
});

test("what does not exist: a name, a Service without pods, an unknown Service address, an unused port", async () => {
  assert.equal((await get("http://nobody/")).status, 6);
  assert.equal((await get("http://nobody.default.svc.cluster.local/")).status, 6);
  for (const url of ["http://none/", "http://web:81/"]) {
    const { status } = await get(url);
    assert.equal(status, 7, url);
  }
});

test("a pod sees its own processes, cannot touch others, has no capabilities and cannot read the state", async () => {
  const own = await mesh.exec("client", "sh", "-c", "ps -e -o args=");
  assert.match(own.stdout, /sleep 1000000/);
  assert.doesNotMatch(own.stdout, /echo\.ts|local\.mjs|nats-server/);
  assert.match((await mesh.exec("client", "grep", "CapEff", "/proc/self/status")).stdout, /CapEff:\s+0+$/m);
  assert.notEqual((await mesh.exec("client", "ls", mesh.layout.authority)).status, 0);
  assert.notEqual((await mesh.exec("client", "ip", "link", "add", "x", "type", "dummy")).status, 0);
});
