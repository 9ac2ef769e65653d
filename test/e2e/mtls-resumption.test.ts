/**
 * What a resumed TLS session is worth: no certificate is verified anew, so the sidecar looks at the one that the session
 * began with. Capture is taken away from two pods, which speak to a third one's sidecar themselves.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarProcesses, sidecarStatus } from "./sidecar.ts";
import { authorityIn, type Pem, pemOf } from "./svids.ts";
import { removeCapture } from "./wire.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let owner: PodClient;
let thief: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
    "owner.yaml": idle("owner"),
    "thief.yaml": idle("thief"),
  });
  await removeCapture(mesh, await mesh.pod("owner"), "OUTPUT");
  await removeCapture(mesh, await mesh.pod("thief"), "OUTPUT");
  owner = startPodClient(mesh, "owner");
  thief = startPodClient(mesh, "thief");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  owner?.stop();
  thief?.stop();
  await mesh?.stop();
});

async function issue(ttlSeconds: number): Promise<Pem> {
  const authority = await authorityIn(mesh.layout.authority);
  try {
    return pemOf(await authority.issue({ spiffeId: "spiffe://example.org/ns/default/sa/owner", ttlSeconds }));
  } finally {
    await authority.close();
  }
}

interface Spoken {
  /** Whether the application answered. */
  readonly answered: boolean;
  readonly resumed: boolean;
  /** For another connection, in base64. */
  readonly session: string;
}

interface Kind {
  readonly what: string;
  readonly port: number;
  readonly servername: string;
  readonly send: string;
  readonly until: string;
}

/** One connection to the server's sidecar: with a certificate, or with a session that began with one. */
async function speak(from: PodClient, kind: Kind, own: Pem | undefined, session?: string): Promise<Spoken> {
  const { address } = await mesh.pod("server");
  return from.run(
    (tools, given) =>
      new Promise<Spoken>((resolve) => {
        const { host, port, servername, send, until, own: identity, session: kept } = given;
        const socket = tools.tls.connect({
          host,
          port,
          servername,
          ...identity,
          ...(kept === undefined ? {} : { session: Buffer.from(kept, "base64") }),
          rejectUnauthorized: false,
        });
        let text = "";
        let resumed = false;
        let next = "";
        const done = (): void => {
          resolve({ answered: text.includes(until), resumed, session: next });
          socket.destroy();
        };
        socket.on("session", (bytes: Buffer) => (next = bytes.toString("base64")));
        socket.on("secureConnect", () => {
          resumed = socket.isSessionReused();
          socket.write(send);
        });
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString("latin1");
          if (text.includes(until)) {
            done();
          }
        });
        socket.on("error", done);
        socket.on("close", done);
        socket.setTimeout(4000, done);
      }),
    { host: address, ...kind, own, session },
  );
}

const kinds: readonly Kind[] = [
  {
    what: "HTTP",
    port: 8080,
    servername: "http.nginx-mesh.internal",
    send: "GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n",
    until: "URI=spiffe://example.org/ns/default/sa/owner",
  },
  { what: "TCP", port: 7000, servername: "tcp.nginx-mesh.internal", send: "ping", until: "ping" },
];

for (const kind of kinds) {
  test(`${kind.what}: a session is resumed while its SVID is valid, and refused once it has expired`, async () => {
    const seconds = 4;
    const began = Date.now();
    const first = await speak(owner, kind, await issue(seconds));
    assert.deepEqual([first.answered, first.resumed], [true, false]);
    const valid = await speak(owner, kind, undefined, first.session);
    assert.deepEqual([valid.answered, valid.resumed], [true, true], "with an SVID that is valid");
    await sleep(began + (seconds + 1.5) * 1000 - Date.now());
    const expired = await speak(owner, kind, undefined, valid.session);
    assert.deepEqual([expired.answered, expired.resumed], [false, true], "with an SVID that has expired");
    const log = mesh.log(await mesh.pod("server"), "sidecar");
    assert.match(log, /refused peer: its SVID expired since the session began/);
  });

  test(`${kind.what}: a session of another pod's identity is refused`, async () => {
    const first = await speak(owner, kind, await issue(600));
    assert.equal(first.answered, true);
    const stolen = await speak(thief, kind, undefined, first.session);
    assert.deepEqual([stolen.answered, stolen.resumed], [false, true]);
    const log = mesh.log(await mesh.pod("server"), "sidecar");
    assert.match(log, /refused connection: .*sa\/thief" but it resumed a session of .*sa\/owner"/);
  });
}

test("a worker that takes another's place resumes sessions of the same bundle, and none of another", async () => {
  const [kind] = kinds;
  const refused = await speak(owner, kind!, await issue(600));
  const { status, stderr } = await mesh.meshctl("local", "rotate-ca");
  assert.equal(status, 0, stderr);
  await sleep(2000);
  const other = await speak(owner, kind!, await issue(600), refused.session);
  assert.deepEqual([other.answered, other.resumed], [true, false], "a session of before the new authority");
  const [worker] = sidecarProcesses(await mesh.pod("server"), mesh).workers;
  process.kill(worker!, "SIGKILL");
  const isBack = async (): Promise<boolean> => {
    const pod = await mesh.pod("server");
    const [next] = sidecarProcesses(pod, mesh).workers;
    return next !== undefined && next !== worker && (await sidecarStatus(pod)).ready;
  };
  for (const end = Date.now() + 15_000; !(await isBack().catch(() => false)); await sleep(50)) {
    assert.ok(Date.now() < end, "no other worker");
  }
  const resumed = await speak(owner, kind!, undefined, other.session);
  assert.deepEqual([resumed.answered, resumed.resumed], [true, true], "a session of the present bundle");
});
