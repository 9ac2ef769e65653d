/**
 * Connections that are idle for hours: nothing in a sidecar, and nothing in the kernel's part of the capture, ends them.
 * Keys that are unused for minutes go.
 */
import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Server } from "node:net";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runProgram, startMesh, type TestMesh } from "./mesh.ts";
import { hostAddress } from "./outside.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { sidecarProcesses } from "./processes.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { followedKeys, passDate, passTime, prepareTime } from "./time.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
let server: PodClient;
let outside: Server;

before(async () => {
  mesh = await startMesh({ "first.yaml": idle("first") });
  prepareTime(mesh);
  mesh.write("server.yaml", workload({ name: "server", ports: anything, probe: anythingReady }));
  mesh.write("client.yaml", idle("client"));
  await mesh.until("server and client", ({ pods }) => pods.length === 3 && pods.every((pod) => pod.ready));
  client = startPodClient(mesh, "client");
  server = startPodClient(mesh, "server");
  outside = createServer((socket) => socket.on("error", () => undefined).pipe(socket));
  const host = hostAddress(await mesh.pod("server"));
  await new Promise<void>((resolve) => outside.listen(0, host, resolve));
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  server?.stop();
  outside?.close();
  await mesh?.stop();
});

const kinds = ["TCP", "TCP to outside", "gRPC stream", "HTTP bodies", "WebSocket"];
const all = (answer: string): Record<string, string> =>
  Object.fromEntries(kinds.map((kind) => [kind, answer]));

/** Both sidecars. */
async function pass(hours: number): Promise<void> {
  await Promise.all([passTime(mesh, "client", hours), passTime(mesh, "server", hours)]);
}

test("23 hours without traffic end no connection; days end them", async () => {
  const address = outside.address() as AddressInfo;
  const first = await client.run((tools, given) => tools.held.openAll(given), {
    host: address.address,
    port: address.port,
  });
  assert.deepEqual(first, all("first"));
  await pass(23);
  const later = await client.run((tools) => tools.held.useAll("23 hours later"), 0);
  assert.deepEqual(later, all("23 hours later"));
  // what shows that time does pass here: the limits that there are, of 24 hours each. Whether there was traffic on a
  // TCP connection is only looked at when one has passed.
  await pass(25);
  await pass(25);
  const last = await client.run((tools) => tools.held.useAll("50 hours later"), 0);
  assert.deepEqual(last, { ...all("closed"), "TCP to outside": "50 hours later" });
  // nginx's own limit, where the mesh has none
  await pass(20 * 24 + 1);
  const end = await client.run((tools) => tools.held.useAll("20 days later"), 0);
  assert.deepEqual(end, all("closed"));
});

/** Sets values in the network namespace of a pod. */
async function set(pod: string, values: Readonly<Record<string, number>>): Promise<void> {
  const { master } = sidecarProcesses(mesh, await mesh.pod(pod));
  const settings = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  const { status, stderr } = await runProgram("nsenter", [
    "--net",
    `--target=${master.pid}`,
    "sysctl",
    "-q",
    "-w",
    ...settings,
  ]);
  assert.equal(status, 0, stderr);
}

test("the kernel does not forget a captured connection that is idle: keep-alive probes renew it", async () => {
  // the kernel's own times are 5 days and 2 hours
  const times = {
    "net.netfilter.nf_conntrack_tcp_timeout_established": 4,
    "net.ipv4.tcp_keepalive_time": 1,
    "net.ipv4.tcp_keepalive_intvl": 1,
  };
  await set("client", times);
  await set("server", times);
  await server.run(
    (tools) =>
      new Promise<void>((resolve) => {
        tools.net
          .createServer((socket) => setTimeout(() => socket.end("late"), 7000))
          .listen(7100, "0.0.0.0", resolve);
      }),
    0,
  );
  const { address } = await mesh.pod("server");
  const answer = await client.run((tools, host) => tools.raw(host, 7100, { timeout: 10_000 }), address);
  assert.equal(answer.text, "late");
});

async function keysOf(pod: string): Promise<number> {
  return (await sidecarStatus(await mesh.pod(pod))).configuration.keys;
}

test("keys that nothing has used for ten minutes are dropped and followed no more; then they are asked for again", async () => {
  const ask = (): Promise<unknown> =>
    client.run(async (tools) => {
      await tools.get("http://server/", { agent: false });
    }, 0);
  await ask();
  const [held, followed] = [await keysOf("client"), await followedKeys(mesh, "client")];
  assert.ok(held >= 4 && followed >= 4, `${held} keys, ${followed} followed`);
  // housekeeping is done at most twice a minute
  await passDate(mesh, "client", 500);
  await sleep(500);
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  assert.ok(destinations?.some(({ destination }) => destination.includes("/server port 80")));
  await passDate(mesh, "client", 700);
  for (let tries = 0; tries < 50 && (await keysOf("client")) > 2; tries += 1) {
    await sleep(50);
  }
  // its own settings, and the mark that the bucket is complete
  assert.deepEqual([await keysOf("client"), await followedKeys(mesh, "client")], [2, 2]);
  assert.equal((await sidecarStatus(await mesh.pod("client"))).destinations, undefined);
  await ask();
  assert.ok((await keysOf("client")) >= 4);
  mesh.write("server.yaml", workload({ name: "server", replicas: 2, ports: anything, probe: anythingReady }));
  await mesh.until("two servers", ({ pods }) => pods.length === 4 && pods.every((pod) => pod.ready));
  for (let tries = 0; tries < 50; tries += 1) {
    const now = (await sidecarStatus(await mesh.pod("client"))).destinations ?? [];
    if (now.some(({ endpoints }) => endpoints?.length === 2)) {
      return;
    }
    await sleep(50);
  }
  assert.fail("the keys that were asked for again are not followed");
});
