/** A line for each request and TCP connection on the sidecars' standard output; format and level change while running. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { enginePid, readRecord } from "../../src/local/host.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anything, anythingReady, idle, meshConfig, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
let quiet: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
    "client.yaml": idle("client"),
    "quiet.yaml": idle("quiet", { annotations: { "config.nginx-mesh/access-log": "false" } }),
    "config.yaml": meshConfig({}),
  });
  client = startPodClient(mesh, "client");
  quiet = startPodClient(mesh, "quiet");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  quiet?.stop();
  await mesh?.stop();
});

/** Lines of a sidecar's log that are no errors' and hold the text, once there are as many. */
async function lines(pod: string, text: string, count: number): Promise<string[]> {
  const view = await mesh.pod(pod);
  const found = (): string[] =>
    mesh
      .log(view, "sidecar")
      .split("\n")
      .filter((line) => line.includes(text) && !/^\d{4}\/\d\d\/\d\d /.test(line));
  for (let i = 0; i < 300 && found().length < count; i += 1) {
    await sleep(30);
  }
  return found();
}

test("default: nginx's combined format, and behind it direction, host, upstream, peer and time", async () => {
  await client.run(
    (tools) => tools.get("http://server/seen?a=b", { headers: { "user-agent": 'a "b"\\' } }),
    0,
  );
  const { address } = await mesh.pod("server");
  const [sent] = await lines("client", "/seen?a=b", 1);
  const [received] = await lines("server", "/seen?a=b", 1);
  const pattern = (direction: string, peer: string): RegExp =>
    new RegExp(
      String.raw`^[\d.]+ - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /seen\?a=b HTTP/1.1" 200 \d+ "-" ` +
        String.raw`"a \\x22b\\x22\\x5C" ${direction} "server" "${address}:8080" ` +
        String.raw`"spiffe://example.org/ns/default/sa/${peer}" \d+\.\d{3}$`,
    );
  assert.match(sent ?? "", pattern("outgoing", "server"));
  assert.match(received ?? "", pattern("incoming", "client"));
});

test("a TCP connection has a line when it ends", async () => {
  await client.run((tools) => tools.raw("server", 7000, { send: "ping", until: "ping" }), 0);
  const [line] = await lines("client", '"TCP ', 1);
  assert.match(
    line ?? "",
    /"TCP [\d.]+:7000" 200 4 "-" "-" outgoing "-" "[\d.]+:7000" "spiffe:\S+\/server" \d/,
  );
});

test("annotation false: no line, though the other side has its own", async () => {
  await quiet.run((tools) => tools.get("http://server/unseen"), 0);
  assert.equal((await lines("server", "/unseen", 1)).length, 1);
  await sleep(1200);
  assert.deepEqual(await lines("quiet", "/unseen", 0), []);
});

test("json takes effect on running sidecars; each line is JSON, whatever a client sends", async () => {
  mesh.write("config.yaml", meshConfig({ nginxLogFormat: "json" }));
  await sleep(500);
  const send = [
    'GET /json?q="\\ HTTP/1.1\r\nHost: server\r\nUser-Agent: \xc3\xbc\t\r\n\r\n',
    "GET /json?bytes HTTP/1.1\r\nHost: server\r\nUser-Agent: \xff\xfe\r\n\r\n",
    // a surrogate, and a character that breaks off: no UTF-8 (RFC 3629)
    "GET /json?no HTTP/1.1\r\nHost: server\r\nUser-Agent: \xed\xa0\x80 \xc3\xff\r\n\r\n",
    `GET /json?long=${"\xc3\xbc".repeat(3000)} HTTP/1.1\r\nHost: server\r\nUser-Agent: ${'"'.repeat(900)}\r\nReferer: ${"\x7f".repeat(900)}\r\nConnection: close\r\n\r\n`,
  ].join("");
  await client.run((tools, given) => tools.raw("server", 80, { send: given }), send);
  await client.run((tools) => tools.call(tools.grpcClient("server:50051"), "unary", "hi"), 0);
  for (const pod of ["client", "server"]) {
    const all = (await lines(pod, "/json?", 4)).map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(all.length, 4, pod);
    const [first, second, broken, third] = all;
    assert.equal(first?.["request"], 'GET /json?q="\\ HTTP/1.1');
    assert.equal(first?.["userAgent"], "ü\t");
    assert.equal(second?.["userAgent"], "\u00ff\u00fe");
    assert.equal(broken?.["userAgent"], "\u00ed\u00a0\u0080 \u00c3\u00ff");
    assert.match(String(third?.["request"]), /^GET \/json\?long=(ü)+$/);
    assert.equal(first?.["status"], 200);
    assert.equal(first?.["direction"], pod === "client" ? "outgoing" : "incoming");
    assert.match(String(first?.["time"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/);
    assert.ok(Math.abs(Date.parse(String(first?.["time"])) - Date.now()) < 60_000);
    const call = JSON.parse((await lines(pod, "Unary", 1))[0] ?? "{}") as Record<string, unknown>;
    assert.equal(call["request"], "POST /test.Anything/Unary HTTP/2.0");
  }
});

/** A line for each of the requests, in both sidecars. */
async function assertAllThere(path: string, count: number): Promise<void> {
  for (const pod of ["client", "server"]) {
    const found = await lines(pod, path, count);
    const numbers = new Set(
      found.map((line) => (JSON.parse(line) as { request: string }).request.split(path)[1]!.split("/")[0]),
    );
    assert.deepEqual([found.length, numbers.size], [count, count], pod);
  }
}

/** As many requests at once as eight connections carry. */
function askMany(url: string, count: number): Promise<void> {
  return client.run(
    async (tools, given) => {
      const agent = new tools.http.Agent({ keepAlive: true, maxSockets: 8 });
      const urls = Array.from({ length: given.count }, (_, i) => `${given.url}${i}/`);
      await Promise.all(urls.map((each) => tools.get(each, { agent })));
      agent.destroy();
    },
    { url, count },
  );
}

test("many requests: no line is lost or cut", async () => {
  await askMany("http://server/many/", 1000);
  await assertAllThere("/many/", 1000);
});

test("whoever reads the lines is busy for a while: traffic goes on, and no line is lost", async () => {
  const engine = enginePid(readRecord(mesh.layout)!)!;
  const { address } = await mesh.pod("server");
  process.kill(engine, "SIGSTOP");
  try {
    await askMany(`http://${address}:8080/busy/`, 600);
  } finally {
    process.kill(engine, "SIGCONT");
  }
  await assertAllThere("/busy/", 600);
});

test("the error log's level takes effect on running sidecars, both ways", async () => {
  const errors = async (): Promise<number> =>
    mesh
      .log(await mesh.pod("server"), "sidecar")
      .split("\n")
      .filter((line) => / \[info\] /.test(line)).length;
  const reset = (): Promise<unknown> =>
    client.run((tools) => tools.raw("server", 7000, { send: "x", until: "x" }), 0);
  await reset();
  assert.equal(await errors(), 0);
  mesh.write("config.yaml", meshConfig({ nginxErrorLogLevel: "info" }));
  await sleep(500);
  await reset();
  await sleep(200);
  const seen = await errors();
  assert.ok(seen > 0);
  mesh.write("config.yaml", meshConfig({ nginxErrorLogLevel: "warn" }));
  await sleep(500);
  const before = await errors();
  await reset();
  await sleep(200);
  assert.equal(await errors(), before);
});
