/**
 * Local mode's network: pods with a sidecar, without one, and with a port that their sidecar does not see reach each
 * other by Service and by address, over TCP and UDP, whichever way the packets and the answers take.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anythingReady, workload, type WorkloadPort } from "./workload.ts";

/** The port that a pod `ignoring` reaches past its sidecar. */
const ignored = 7000;
const ports: readonly WorkloadPort[] = [
  { name: "http", port: 80, target: 8080 },
  { name: "tcp-echo", port: ignored },
  // past every sidecar, as it is the port of name servers
  { name: "tcp-names", port: 53, target: ignored },
  { name: "udp", port: 53, target: 7053, protocol: "UDP" },
];
const names = ["meshed", "another", "plain", "ignoring"] as const;
type Name = (typeof names)[number];

let mesh: TestMesh;
const clients = new Map<Name, PodClient>();

before(async () => {
  const shared = { ports, probe: anythingReady };
  const annotations = { "config.nsm.nginx.com/ignore-outgoing-ports": String(ignored) };
  mesh = await startMesh({
    "meshed.yaml": workload({ ...shared, name: "meshed" }),
    "another.yaml": workload({ ...shared, name: "another" }),
    "plain.yaml": workload({ ...shared, name: "plain", meshed: false }),
    "ignoring.yaml": workload({ ...shared, name: "ignoring", annotations }),
  });
  for (const name of names) {
    clients.set(name, startPodClient(mesh, name));
  }
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  clients.forEach((client) => client.stop());
  await mesh?.stop();
});

interface Answers {
  readonly http: string;
  /** Who called, as the application was told. */
  readonly caller: string;
  readonly echo: string;
  readonly names: string;
  readonly udp: string;
}

interface Target {
  readonly host: string;
  readonly http: number;
  readonly names: number;
  readonly udp: number;
}

function ask(from: Name, target: Target): Promise<Answers> {
  return clients.get(from)!.run(async (tools, to) => {
    const echo = async (port: number): Promise<string> =>
      (await tools.raw(to.host, port, { send: "a word", until: "word", timeout: 3000 })).text;
    const { status, body, headers } = await tools.get(`http://${to.host}:${to.http}/`, { agent: false });
    const asked = status === 200 ? (JSON.parse(body) as { headers: Record<string, string> }) : undefined;
    return {
      http: `${status} ${String(headers["served-by"])}`,
      caller: asked?.headers["x-forwarded-client-cert"]?.replace(/^.*\/sa\//, "") ?? "nobody",
      echo: await echo(7000),
      names: await echo(to.names),
      udp: await tools.askUdp(to.host, to.udp, "a question"),
    };
  }, target);
}

for (const from of names) {
  for (const to of names) {
    const meshed = from !== "plain" && to !== "plain" && from !== to;
    for (const way of ["Service", "pod address"] as const) {
      test(`from ${from} to the ${way} of ${to}: HTTP, TCP, an ignored port, UDP`, async () => {
        const pod = await mesh.pod(to);
        const target =
          way === "Service"
            ? { host: to, http: 80, names: 53, udp: 53 }
            : { host: pod.address, http: 8080, names: ignored, udp: 7053 };
        const answers = await ask(from, target);
        assert.deepEqual(answers, {
          http: `200 ${pod.name}`,
          caller: meshed ? from : "nobody",
          echo: "a word",
          names: "a word",
          udp: `${pod.name} heard a question`,
        });
      });
    }
  }
}

// A bridge without an address of its own takes the lowest of its ports', which goes with a pod: then names did not resolve for
// five seconds and more, until the others had found out.
test("the node has a link address of its own, which stays when pods come and go", async () => {
  const look = "getent hosts another >/dev/null; ip neigh show dev eth0";
  const { stdout } = await mesh.exec("meshed", "sh", "-c", look);
  assert.match(stdout, /^10\.\d+\.0\.1 .*lladdr 02:6e:67:78:00:01 /m);
});

test("from the host to pods of every kind", async () => {
  for (const name of names) {
    const { address, name: pod } = await mesh.pod(name);
    const answer = await fetch(`http://${address}:8080/`);
    assert.equal(answer.headers.get("served-by"), pod);
  }
});
