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
import { type Authority, openAuthority } from "../../src/identity/authority.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { type Pem, pemOf } from "./svids.ts";
import { capture, hybridKeyShare, occurrences, removeCapture, resumed } from "./wire.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

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
  const own = { trustDomain: "example.org", caKeyType: "ec-p256", caTtlSeconds: 2_592_000 } as const;
  const authority = await openAuthority({ ...own, directory: mesh.layout.authority });
  foreign = await openAuthority({ ...own, directory: folder });
  const path = (account: string): string => `spiffe://example.org/ns/default/sa/${account}`;
  const issue = async (from: Authority, account: string, ttlSeconds: number): Promise<Pem> =>
    pemOf(await from.issue({ spiffeId: path(account), ttlSeconds }));
  svids.set(`${id}: right`, await issue(authority, id, 600));
  svids.set(`${id}: wrong identity`, await issue(authority, other, 600));
  svids.set(`${id}: expired`, await issue(authority, id, 1));
  svids.set(`${id}: other CA`, await issue(foreign, id, 600));
  svids.set(`${id}: none`, undefined);
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
    "open.yaml": workload({ name: "open", ports: anything, probe: anythingReady }),
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

for (const [what, identity] of [["right"], ["wrong identity"], ["expired"], ["other CA"], ["none"]].map(
  ([name]) => [name!, (): Pem | undefined => svids.get(`forger: ${name}`)] as const,
)) {
  test(`a client at 8901 with SVID: ${what}`, async () => {
    const { address } = await mesh.pod("server");
    const http = await speak(address, 8080, "http.nginx-mesh.internal", identity(), request);
    const tcp = await speak(address, 7000, "tcp.nginx-mesh.internal", identity(), "ping");
    if (what === "right") {
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
    const serve = { identity: svids.get(`fake: ${what}`) ?? null };
    const answer = await Promise.all([
      fake.run(
        (tools, given) =>
          new Promise<string>((resolve) => {
            const server = tools.tls.createServer(
              { ...given.identity, minVersion: "TLSv1.3" },
              (socket: {
                on(event: string, listener: (chunk: Buffer) => void): void;
                end(text: string): void;
              }) => {
                socket.on("error", () => undefined);
                socket.on("data", (chunk) => {
                  // the first byte is a sidecar's word that its application took the connection
                  socket.end(`\0fake got ${chunk.toString()}`);
                });
              },
            );
            server.on("tlsClientError", () => undefined);
            server.listen(7900, "0.0.0.0");
            setTimeout(() => {
              server.close();
              resolve("closed");
            }, 1500);
          }),
        serve,
      ),
      sleep(500).then(() =>
        client.run((tools) => tools.raw("fake", 7900, { send: "secret", until: "secret", timeout: 4000 }), 0),
      ),
    ]);
    const expected = what === "right" ? "fake got secret" : "";
    assert.equal(answer[1].text, expected);
    assert.notEqual(answer[1].ended, "timeout");
  });
}

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
  const grpc = await outsider.run(
    async (tools) =>
      (
        await tools.call(tools.grpcClient("open:50051"), "unary", "metadata?", {
          metadata: { "x-forwarded-client-cert": "URI=forged" },
        })
      ).message,
    0,
  );
  assert.doesNotMatch(grpc, /forged|forwarded-client-cert/);
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
