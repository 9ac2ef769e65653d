/**
 * Who may speak for whom. The capture rules of two pods are taken away, so that the test itself speaks to the other
 * sidecar: once as a client at 8901, once as a server that a sidecar connects to, each with SVIDs of its choice.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Authority } from "../../src/identity/authority.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient, type Tools } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { authorityIn, type Pem, pemOf } from "./svids.ts";
import { capture, hybridKeyShare, occurrences, removeCapture, resumed } from "./wire.ts";
import { anything, anythingReady, http2Port, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
let outsider: PodClient;
/** In a meshed pod whose outgoing connections are not captured any more. */
let forger: PodClient;
/** In a meshed pod whose incoming connections are not captured any more. */
let fake: PodClient;
let foreign: Authority;
const folder = mkdtempSync(join(tmpdir(), "nm-authority-"));
const svids = new Map<string, Pem | undefined>();

async function makeSvids(id: string, other: string): Promise<void> {
  const authority = await authorityIn(mesh.layout.authority);
  foreign = await authorityIn(folder);
  const path = (account: string): string => `spiffe://example.org/ns/default/sa/${account}`;
  const issue = async (from: Authority, account: string, ttlSeconds: number): Promise<Pem> =>
    pemOf(await from.issue({ spiffeId: path(account), ttlSeconds }));
  svids.set(`${id}: right`, await issue(authority, id, 600));
  svids.set(`${id}: wrong identity`, await issue(authority, other, 600));
  svids.set(`${id}: expired`, await issue(authority, id, 1));
  svids.set(`${id}: other CA`, await issue(foreign, id, 600));
  svids.set(`${id}: none`, undefined);
  // the clock of the signer, or of the peer's node, goes before that of this node
  for (const minutes of [5, 11]) {
    const now = (): Date => new Date(Date.now() + minutes * 60_000);
    const ahead = await authorityIn(mesh.layout.authority, now);
    svids.set(`${id}: of ${minutes} minutes ahead`, await issue(ahead, id, 600));
    await ahead.close();
  }
  await authority.close();
  await foreign.close();
}

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({
      name: "server",
      ports: anything,
      probe: anythingReady,
      annotations: { "config.nsm.nginx.com/mtls-mode": "strict" },
    }),
    "open.yaml": workload({ name: "open", ports: [...anything, http2Port], probe: anythingReady }),
    "client.yaml": idle("client"),
    "outsider.yaml": idle("outsider", { meshed: false }),
    "forger.yaml": idle("forger"),
    "fake.yaml": idle("fake", {
      ports: [
        { name: "tcp-fake", port: 7900 },
        { name: "http-fake", port: 7901 },
      ],
    }),
  });
  client = startPodClient(mesh, "client");
  outsider = startPodClient(mesh, "outsider");
  forger = startPodClient(mesh, "forger");
  fake = startPodClient(mesh, "fake");
  await removeCapture(mesh, await mesh.pod("forger"), "OUTPUT");
  await removeCapture(mesh, await mesh.pod("fake"), "PREROUTING");
  await makeSvids("forger", "client");
  await makeSvids("fake", "server");
  await sleep(2500);
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  [client, outsider, forger, fake].forEach((each) => each?.stop());
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Speaks mesh TLS to the address; what came back, or how it failed. */
function speak(
  host: string,
  port: number,
  servername: string,
  identity: Pem | undefined,
  send: string,
  from: PodClient = forger,
): Promise<string> {
  return from.run(
    (tools, given) =>
      new Promise<string>((resolve) => {
        const { host: address, port: number, servername: name, identity: own } = given;
        const socket = tools.tls.connect({
          host: address,
          port: number,
          servername: name,
          ...own,
          rejectUnauthorized: false,
        });
        let text = "";
        socket.on("secureConnect", () => socket.write(given.send));
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString("latin1");
          if (/ping|\}$/.test(text)) {
            resolve(text);
            socket.destroy();
          }
        });
        socket.on("error", (error: Error & { code?: string }) => resolve(`failed: ${error.code}`));
        socket.on("close", () => resolve(`closed: ${text}`));
        socket.setTimeout(4000, () => resolve(`timeout: ${text}`));
      }),
    { host, port, servername, identity, send },
  );
}

test("a valid SVID from the address of a pod without a sidecar is refused: that pod has no identity", async () => {
  const { address } = await mesh.pod("open");
  const stolen = svids.get("forger: right");
  for (const [name, port, send] of [
    ["http.nginx-mesh.internal", 8080, request],
    ["tcp.nginx-mesh.internal", 7000, "ping"],
  ] as const) {
    assert.match(await speak(address, port, name, stolen, send), /200 OK|ping/);
    const answer = await speak(address, port, name, stolen, send, outsider);
    assert.match(answer, /^(failed|closed: )/);
    assert.doesNotMatch(answer, /200 OK|ping/);
  }
  assert.match(mesh.log(await mesh.pod("open"), "sidecar"), /refused peer .*forger.*no identity/);
});

const request =
  "GET / HTTP/1.1\r\nHost: server\r\nX-Forwarded-Client-Cert: URI=spiffe://example.org/ns/default/sa/admin\r\n\r\n";

const accepted = ["right", "of 5 minutes ahead"];
const refused = ["wrong identity", "expired", "other CA", "none", "of 11 minutes ahead"];

for (const [what, identity] of [...accepted, ...refused].map(
  (name) => [name, (): Pem | undefined => svids.get(`forger: ${name}`)] as const,
)) {
  test(`a client at 8901 with SVID: ${what}`, async () => {
    const { address } = await mesh.pod("server");
    const http = await speak(address, 8080, "http.nginx-mesh.internal", identity(), request);
    const tcp = await speak(address, 7000, "tcp.nginx-mesh.internal", identity(), "ping");
    if (accepted.includes(what)) {
      assert.match(http, /^HTTP\/1.1 200 OK/);
      assert.match(
        http,
        /"x-forwarded-client-cert":"By=\S+?;URI=spiffe:\/\/example.org\/ns\/default\/sa\/forger"/,
      );
      assert.equal(tcp, "\0ping");
    } else {
      assert.doesNotMatch(http, /HTTP\/1.1 [23]/, http);
      assert.match(tcp, /^(failed|closed: $)/);
    }
  });

  test(`a server that a sidecar connects to, with SVID: ${what}`, async () => {
    const serving = fake.run(serveFake, svids.get(`fake: ${what}`) ?? null);
    await sleep(500);
    const [tcp, http] = await client.run(
      async (tools) => [
        await tools.raw("fake", 7900, { send: "secret", until: "secret", timeout: 4000 }),
        await tools.raw("fake", 7901, {
          send: "GET /secret HTTP/1.1\r\nHost: fake\r\n\r\n",
          until: "\r\n\r\n",
        }),
      ],
      0,
    );
    const heard = await serving;
    assert.notEqual(tcp!.ended, "timeout");
    if (accepted.includes(what)) {
      assert.equal(tcp!.text, "fake got secret");
      assert.match(http!.text, /^HTTP\/1\.1 200 Fake/);
      assert.match(heard, /secret[^]*GET \/secret /);
    } else {
      assert.equal(tcp!.text, "");
      assert.match(http!.text, /^HTTP\/1\.1 502 [^]*nginx-mesh-error: upstream-failed/i);
      assert.equal(heard, "", "nothing is sent to it");
    }
  });
}

/** TLS of its own at 7900 (as TCP) and 7901 (as HTTP) for a moment; resolves with what it was sent. */
function serveFake(tools: Tools, identity: Pem | null): Promise<string> {
  return new Promise((resolve) => {
    let heard = "";
    const servers = [7900, 7901].map((port) => {
      const server = tools.tls.createServer({ ...identity, minVersion: "TLSv1.3" }, (socket) => {
        socket.on("error", () => undefined);
        socket.on("data", (chunk: Buffer) => {
          heard += chunk.toString();
          // for TCP the first byte is a sidecar's word that its application took the connection
          socket.end(
            port === 7900
              ? `\0fake got ${chunk.toString()}`
              : "HTTP/1.1 200 Fake\r\nContent-Length: 0\r\n\r\n",
          );
        });
      });
      server.on("tlsClientError", () => undefined);
      return server.listen(port, "0.0.0.0");
    });
    setTimeout(() => {
      servers.forEach((server) => server.close());
      resolve(heard);
    }, 1500);
  });
}

test("TLS of the mesh is 1.3: an older version is refused, whatever the SVID", async () => {
  const { address } = await mesh.pod("server");
  const right = svids.get("forger: right");
  for (const [name, port] of [
    ["http.nginx-mesh.internal", 8080],
    ["tcp.nginx-mesh.internal", 7000],
  ] as const) {
    const versions = await forger.run(
      async (tools, given) => {
        const connect = (version: "TLSv1.2" | "TLSv1.3"): Promise<string> =>
          new Promise((resolve) => {
            const { host, port: number, servername, own } = given;
            const only = { minVersion: version, maxVersion: version, rejectUnauthorized: false };
            const socket = tools.tls.connect({ host, port: number, servername, ...own, ...only });
            socket.on("secureConnect", () => {
              resolve(socket.getProtocol() ?? "none");
              socket.destroy();
            });
            socket.on("error", () => resolve("refused"));
            socket.on("close", () => resolve("refused"));
          });
        return [await connect("TLSv1.2"), await connect("TLSv1.3")];
      },
      { host: address, port, servername: name, own: right },
    );
    assert.deepEqual(versions, ["refused", "TLSv1.3"], name);
  }
});

const callerOfOpen =
  /"x-forwarded-client-cert":"By=spiffe:\/\/example.org\/ns\/default\/sa\/open;URI=spiffe:\/\/example.org\/ns\/default\/sa\/client"/;

test("the caller's identity is one header that the client cannot forge, with mTLS and in plain text", async () => {
  const forged = {
    "x-forwarded-client-cert": "URI=spiffe://example.org/ns/default/sa/admin",
    "X-FORWARDED-CLIENT-CERT": "again",
  };
  const asked = async (from: PodClient): Promise<string[]> => {
    const { body } = await from.run(
      (tools, headers) => tools.get("http://open:81/head", { headers }),
      forged,
    );
    return body.split("\r\n").filter((line) => /forwarded.client.cert/i.test(line));
  };
  assert.deepEqual(await asked(client), [
    "X-Forwarded-Client-Cert: By=spiffe://example.org/ns/default/sa/open;URI=spiffe://example.org/ns/default/sa/client",
  ]);
  assert.deepEqual(await asked(outsider), []);
  const metadata = (from: PodClient, port: number): Promise<string> =>
    from.run(
      async (tools, given) =>
        (
          await tools.call(tools.grpcClient(`open:${given}`), "unary", "metadata?", {
            metadata: { "x-forwarded-client-cert": "URI=forged" },
          })
        ).message,
      port,
    );
  // as gRPC, and as HTTP/2 on a port for HTTP
  for (const port of [50051, 82]) {
    assert.doesNotMatch(await metadata(outsider, port), /forged|forwarded-client-cert/);
    assert.match(await metadata(client, port), callerOfOpen);
  }
  // HTTP/2 that is not gRPC
  const plainHttp2 = (from: PodClient): Promise<string> =>
    from.run(
      (tools, forgery) =>
        tools.getHttp2("http://open:83", { ":path": "/", "x-forwarded-client-cert": forgery }),
      "URI=forged",
    );
  assert.doesNotMatch(await plainHttp2(outsider), /forged|forwarded-client-cert/);
  assert.match(await plainHttp2(client), callerOfOpen);
});

test("on the wire nothing of a request is to be read, but of a plain client's", async () => {
  const recording = await capture(mesh, await mesh.pod("open"), "tcp and port 8081");
  const { body } = await client.run((tools) => tools.get("http://open:81/head/needle"), 0);
  assert.match(body, /needle/);
  const bytes = await recording.stop();
  assert.equal(occurrences(bytes, Buffer.from("needle")), 0);
  const plain = await capture(mesh, await mesh.pod("open"), "tcp and port 8081");
  await outsider.run((tools) => tools.get("http://open:81/head/needle"), 0);
  assert.ok(
    occurrences(await plain.stop(), Buffer.from("needle")) >= 2,
    "a plain client is heard in the clear",
  );
});

test("the key exchange is hybrid; connections are kept, and new ones resume a session", async () => {
  const recording = await capture(mesh, await mesh.pod("open"), "tcp and (port 7000 or port 8080)");
  await client.run(async (tools) => {
    for (let i = 0; i < 30; i += 1) {
      await tools.get("http://open/", { agent: false });
    }
    for (let i = 0; i < 30; i += 1) {
      await tools.raw("open", 7000, { send: "ping", until: "ping" });
    }
  }, 0);
  const bytes = await recording.stop();
  const handshakes = occurrences(bytes, hybridKeyShare);
  const resumptions = occurrences(bytes, resumed);
  // one a TCP connection, and a few for all of HTTP, or none, where an earlier one has been kept
  assert.ok(handshakes >= 30 && handshakes <= 33, `${handshakes} handshakes`);
  assert.ok(handshakes - resumptions <= 3, `${handshakes - resumptions} full handshakes`);
});

test("the first connection to another port of a pod resumes the session with its sidecar", async () => {
  const { address } = await mesh.pod("open");
  await client.run((tools) => tools.get("http://open/", { agent: false }), 0);
  await client.run((tools) => tools.raw("open", 7000, { send: "ping", until: "ping" }), 0);
  // a destination of its own: the pod's address instead of its Service's
  for (const [port, connect] of [
    [8080, () => client.run((tools, given) => tools.get(`http://${given}:8080/`), address)],
    [
      7000,
      () => client.run((tools, given) => tools.raw(given, 7000, { send: "ping", until: "ping" }), address),
    ],
  ] as const) {
    const recording = await capture(mesh, await mesh.pod("open"), `tcp and port ${port}`);
    await connect();
    const bytes = await recording.stop();
    const seen = [occurrences(bytes, hybridKeyShare), occurrences(bytes, resumed)];
    assert.deepEqual(seen, [1, 1], `handshakes and resumptions at port ${port}`);
  }
});

test("connections that begin together all resume", async () => {
  const ping = { send: "ping", until: "ping" };
  await client.run((tools, given) => tools.raw("open", 7000, given), ping);
  const recording = await capture(mesh, await mesh.pod("open"), "tcp and port 7000");
  await client.run(
    (tools, given) => Promise.all(Array.from({ length: 20 }, () => tools.raw("open", 7000, given))),
    ping,
  );
  const bytes = await recording.stop();
  const handshakes = occurrences(bytes, hybridKeyShare);
  // a machine that is busy misses packets
  assert.ok(handshakes >= 5, `${handshakes} handshakes`);
  assert.equal(occurrences(bytes, resumed), handshakes);
});
