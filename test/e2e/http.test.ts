/** HTTP/1.x through two sidecars: every byte that matters arrives as it was sent, in both directions. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars } from "./sidecar.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

/** Sends bytes to the scripted server and gives what comes back, up to the end of the last answer. */
function exchange(
  send: string,
  until: string,
  port = 81,
  times = 1,
): Promise<{ text: string; ended: string }> {
  return client.run(
    (tools, given) =>
      tools.raw("server", given.port, { send: given.send, until: given.until, times: given.times }),
    { send, until, port, times },
  );
}

/** Lets the scripted server answer with exactly these bytes, and gives what the client received. */
async function answerOf(script: string, until: string, request = "GET"): Promise<string> {
  const path = `/raw/${Buffer.from(script, "latin1").toString("base64url")}`;
  return (await exchange(`${request} ${path} HTTP/1.1\r\nHost: server\r\n\r\n`, until)).text;
}

const clientCert =
  "X-Forwarded-Client-Cert: By=spiffe://example.org/ns/default/sa/server;URI=spiffe://example.org/ns/default/sa/client\r\n";

test("a request arrives byte for byte: target, names and values of headers, their case and order, duplicates", async () => {
  const head = [
    "GET /a//b/../c/./%2e%2E/%7euser/%41?q=%20+a&&b=%00;x=?y%zz HTTP/1.1",
    "Host: Some.Host:8123",
    "x_under_score: 1",
    "X-MiXeD-cAsE: Value  with  spaces",
    "Accept: a",
    "accept: b",
    "Cookie: one=1",
    "Cookie: two=2",
    "X.Dot: .",
    "X-Latin: \xe4\xf6",
    "X-Empty:",
    "TE: trailers",
    "Content-Type: text/odd",
    "User-Agent:   ",
    "X-Forwarded-For: 1.2.3.4",
    "Date: not touched",
  ];
  const { text } = await exchange(`${head.join("\r\n")}\r\n\r\n`, "\r\n\r\n", 81, 2);
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  // the mesh's own header is the only one that is added; a connection is the business of each hop
  assert.ok(body.includes(clientCert), body);
  const lines = body.replace(clientCert, "").trimEnd().split("\r\n");
  assert.equal(lines[0], "GET /a//b/../c/./%2e%2E/%7euser/%41?q=%20+a&&b=%00;x=?y%zz HTTP/1.1");
  const trimmed = (line: string): string => line.replace(/:\s*(.*?)\s*$/, ": $1");
  const hop = /^(te|connection):/i;
  const sent = head.slice(1).filter((line) => !hop.test(line));
  const received = lines.slice(1).filter((line) => !hop.test(line));
  assert.deepEqual(received.map(trimmed).sort(), sent.map(trimmed).sort());
  const names = (all: readonly string[]): string[] =>
    all.filter((line) => /^(accept|cookie|x)/i.test(line)).map(trimmed);
  assert.deepEqual(names(received), names(sent), "order");
});

test("odd request targets are unchanged", async () => {
  const targets = [
    "//",
    "//evil/x",
    "/..",
    "/x/../../y/.",
    "/%2F%2f",
    "/a%20b",
    "/a;b,c=d",
    "/?",
    "/%E4",
    "/a\\b",
    '/"<>|{}',
    "/%5C",
  ];
  const requests = targets.map((target) => `GET /head${target} HTTP/1.1\r\nHost: server\r\n\r\n`).join("");
  const { text } = await exchange(requests, "\r\n\r\n", 81, targets.length * 2);
  const received = [...text.matchAll(/^GET \/head(.*) HTTP\/1.1\r$/gm)].map((match) => match[1]);
  assert.deepEqual(received, targets);
  const absolute = await exchange(
    "GET http://server/head/abs HTTP/1.1\r\nHost: server\r\n\r\n",
    "\r\n\r\n",
    81,
    2,
  );
  assert.match(absolute.text, /GET (http:\/\/server)?\/head\/abs HTTP\/1.1/);
});

test("a path that nginx cannot resolve (RFC 3986, 5.2.4) is refused with a reason, never changed", async () => {
  for (const target of ["/../etc", "/%zz", "/%00", "*"]) {
    const { text } = await exchange(`OPTIONS ${target} HTTP/1.1\r\nHost: server\r\n\r\n`, "nginx-mesh:");
    assert.match(text, /^HTTP\/1.1 400 /, target);
    assert.match(text, /^Nginx-Mesh-Error: bad-request\r$/m);
  }
});

test("unusual methods pass", async () => {
  for (const method of ["PROPFIND", "M-SEARCH", "PURGE", "DELETE", "PATCH"]) {
    const { text } = await exchange(
      `${method} /head HTTP/1.1\r\nHost: server\r\nContent-Length: 0\r\n\r\n`,
      "\r\n\r\n",
      81,
      2,
    );
    assert.match(text, new RegExp(`\\r\\n\\r\\n${method} /head HTTP/1.1`));
  }
});

test("a response arrives as it was sent: reason, headers, duplicates; no Server or Date is added", async () => {
  const script = [
    "HTTP/1.1 299 Curious Reason",
    "content-LENGTH: 4",
    "Set-Cookie: a=1",
    "Set-Cookie: b=2; Path=/",
    "under_score: yes",
    "X-Accel-Redirect: /x",
    "X-Accel-Buffering: no",
    "Refresh: 0; url=http://server:81/",
    "Location: http://127.0.0.1/y",
    'ETag: "x"',
    "Last-Modified: yesterday",
    "Vary: *",
    "X-Latin: \xe4",
    "",
    "body",
  ].join("\r\n");
  const text = await answerOf(script, "body");
  const lines = text.split("\r\n");
  assert.equal(lines[0], "HTTP/1.1 299 Curious Reason");
  assert.doesNotMatch(text, /^(server|date|content-type):/im);
  const sent = script.split("\r\n").slice(2, -2);
  for (const line of sent) {
    assert.ok(lines.includes(line), `${line} is missing in ${text}`);
  }
  assert.match(text, /\r\n\r\nbody$/);
});

test("the application's own Server and Date are kept", async () => {
  const script = "HTTP/1.1 200 OK\r\nServer: own/1.0\r\nDate: long ago\r\nContent-Length: 2\r\n\r\nok";
  const text = await answerOf(script, "\r\n\r\nok");
  assert.match(text, /^Server: own\/1.0\r$/m);
  assert.match(text, /^Date: long ago\r$/m);
});

test("102 and 103 before the response are passed on; a client of HTTP/1.0 gets the response alone", async () => {
  const final = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
  const interim =
    "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
  assert.match(
    await answerOf(interim + final, "done"),
    /^HTTP\/1.1 102 Processing\r\n\r\nHTTP\/1.1 103 Early Hints\r\nLink: <\/a.css>; rel=preload\r\n\r\nHTTP\/1.1 200 OK/i,
  );
  const path = `/raw/${Buffer.from(interim + final).toString("base64url")}`;
  const old = await exchange(`GET ${path} HTTP/1.0\r\nHost: server\r\n\r\n`, "done");
  assert.match(old.text, /^HTTP\/1.1 200 OK/);
});

test("HEAD has the headers of GET and no body; 204 and 304 have none", async () => {
  const script = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n";
  const head = await answerOf(script, "\r\n\r\n", "HEAD");
  assert.match(head, /Content-Length: 1234/i);
  assert.match(head, /X-A: b/);
  assert.match(head, /\r\n\r\n$/);
  for (const status of ["204 No Content", "304 Not Modified"]) {
    const text = await answerOf(`HTTP/1.1 ${status}\r\nX-A: b\r\n\r\n`, "\r\n\r\n");
    assert.ok(text.startsWith(`HTTP/1.1 ${status}\r\n`), text);
    assert.match(text, /\r\n\r\n$/);
    assert.doesNotMatch(text, /transfer-encoding/i);
  }
});

test("HEAD, and the next request on its connection: nothing of a body comes between, both connections stay", async () => {
  const request = (method: string, path: string): string =>
    `${method} ${path} HTTP/1.1\r\nHost: server\r\n\r\n`;
  // a length that no body follows: who waits for it, or sends it, gives the next request a wrong answer or none
  const script = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n";
  const head = request("HEAD", `/raw/${Buffer.from(script).toString("base64url")}`);
  const sent = head + request("GET", "/head/1") + head + head + request("GET", "/head/2");
  const { text, ended } = await exchange(sent, "GET /head/2 HTTP/1.1\r\nHost: server\r\n");
  assert.equal(ended, "found", text);
  const bodies = text.split(/HTTP\/1\.1 200 OK\r\n(?:.+\r\n)+\r\n/).slice(1);
  const lengths = [...text.matchAll(/^content-length: (\d+)\r$/gim)].map((match) => Number(match[1]));
  assert.deepEqual(
    bodies.map((body) => body.split(" HTTP")[0]),
    ["", "GET /head/1", "", "", "GET /head/2"],
    text,
  );
  assert.deepEqual([lengths.length, lengths[0], lengths[2], lengths[3]], [5, 1234, 1234, 1234]);
  const own = request("HEAD", "/own") + request("GET", "/before");
  const last = await client.run(
    (tools, send) => tools.raw("server", 80, { send, until: '"url":"/after"' }),
    own + request("HEAD", "/own").repeat(5) + request("GET", "/after"),
  );
  const [before, after] = [...last.text.matchAll(/"connections":(\d+)/g)].map((match) => match[1]);
  assert.ok(before !== undefined, last.text);
  assert.equal(after, before, "connections at the application");
  assert.equal(
    [...last.text.matchAll(/^asked-by: HEAD\r$/gim)].length,
    6,
    "it is HEAD for the application too",
  );
});

test("HTTP/1.0: a response up to the end of the connection, and keep-alive when asked for", async () => {
  const plain = await client.run(
    (tools) => tools.raw("server", 80, { send: "GET /x HTTP/1.0\r\nHost: server\r\n\r\n" }),
    0,
  );
  assert.equal(plain.ended, "closed");
  assert.match(plain.text, /"url":"\/x"/);
  const kept = await client.run((tools) => {
    const one = "GET /x HTTP/1.0\r\nHost: server\r\nConnection: keep-alive\r\n\r\n";
    return tools.raw("server", 80, { send: one + one, until: '"url":"/x"', times: 2 });
  }, 0);
  assert.equal(kept.ended, "found", kept.text);
  const script = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
  assert.match(await answerOf(script, "until the end"), /until the end/);
  const noHost = await client.run(
    (tools) => tools.raw("server", 80, { send: "GET /nohost HTTP/1.0\r\n\r\n" }),
    0,
  );
  assert.match(noHost.text, /"url":"\/nohost"/);
});

test("keep-alive on both sides: many requests, one connection at the application", async () => {
  const result = await client.run(async (tools) => {
    const agent = new tools.http.Agent({ keepAlive: true, maxSockets: 1 });
    const seen: number[] = [];
    let reused = 0;
    for (let i = 0; i < 50; i += 1) {
      const answer = await tools.get("http://server/", { agent });
      seen.push((JSON.parse(answer.body) as { connections: number }).connections);
      reused += answer.headers.connection === "close" ? 0 : 1;
    }
    agent.destroy();
    return { first: seen[0]!, last: seen.at(-1)!, reused };
  }, 0);
  assert.equal(result.reused, 50);
  assert.ok(
    result.last - result.first <= 1,
    `the application saw ${result.last - result.first} new connections`,
  );
});

test("connections that clients close do not close those to the application", async () => {
  const result = await client.run(async (tools) => {
    const seen: number[] = [];
    for (let i = 0; i < 20; i += 1) {
      const answer = await tools.get("http://server/", { agent: false });
      seen.push((JSON.parse(answer.body) as { connections: number }).connections);
    }
    return seen;
  }, 0);
  assert.ok(result.at(-1)! - result[0]! <= 2, `connections at the application: ${result.join(" ")}`);
});

test("curl, as people use it", async () => {
  const ended = await mesh.exec(
    "client",
    "curl",
    "-sS",
    "-i",
    "--max-time",
    "5",
    "-X",
    "POST",
    "--data",
    "a=b",
    "http://server/form",
  );
  assert.equal(ended.status, 0, ended.stderr);
  assert.match(ended.stdout, /"content-type":"application\/x-www-form-urlencoded"/);
});
