import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serverNames } from "../../src/wire/keys.ts";
import { seeded } from "../sidecar/random.ts";
import { readHello } from "./client-hello.ts";
import { compileParser, parsePieces } from "./pieces.ts";

const folder = mkdtempSync(join(tmpdir(), "mesh-hello-"));
const program = join(folder, "hello");
let hello: Buffer;

before(async () => {
  compileParser("ngx_mesh_hello.c", "report_hello.c", program);
  hello = await helloOf(["-servername", serverNames.http, "-tls1_3"]);
});

after(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The first bytes that OpenSSL's client sends. */
async function helloOf(options: readonly string[]): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...options], {
    stdio: "ignore",
  });
  const [socket] = (await once(server, "connection")) as [Socket];
  const [bytes] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  client.kill();
  await once(client, "exit");
  server.close();
  return bytes;
}

/** What the parser says of the bytes, with the name instead of its place. */
function results(pieces: readonly Buffer[]): string[] {
  return parsePieces(program, pieces).map((line, i) => {
    const [word, offset, length] = line.split(" ");
    const name = pieces[i]!.subarray(Number(offset), Number(offset) + Number(length)).toString("latin1");
    return offset === undefined ? word! : `OK ${name}`;
  });
}

test("the server name of a ClientHello of OpenSSL, for each protocol of the mesh", async () => {
  for (const name of Object.values(serverNames)) {
    assert.deepEqual(results([await helloOf(["-servername", name])]), [`OK ${name}`]);
  }
});

test("a ClientHello without a server name, and one of TLS 1.2", async () => {
  assert.deepEqual(results([await helloOf(["-noservername"])]), ["OK"]);
  assert.deepEqual(results([await helloOf(["-servername", "a.example", "-tls1_2"])]), ["OK a.example"]);
});

test("each beginning of a ClientHello asks for more; bytes after it change nothing", () => {
  const beginnings = Array.from({ length: hello.length }, (_, length) => hello.subarray(0, length));
  assert.deepEqual(new Set(results(beginnings)), new Set(["AGAIN"]));
  const longer = [1, 100, 20_000].map((more) => Buffer.concat([hello, Buffer.alloc(more, 0x16)]));
  assert.deepEqual(new Set(results(longer)), new Set([`OK ${serverNames.http}`]));
});

test("what is no TLS is declined at its first byte", () => {
  const others = [
    "GET / HTTP/1.1\r\nHost: web\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "*1\r\n$4\r\nPING\r\n",
    "PING\r\n",
    "\0\0\0\0",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "\x15\x03\x01\0\x02\x02\x28",
    "\x17\x03\x03\0\x10",
  ].map((text) => Buffer.from(text, "latin1"));
  assert.deepEqual(new Set(results(others)), new Set(["DECLINED"]));
  assert.deepEqual(new Set(results(others.map((bytes) => bytes.subarray(0, 1)))), new Set(["DECLINED"]));
  assert.deepEqual(results([Buffer.alloc(0)]), ["AGAIN"]);
});

test("a TLS record that holds no ClientHello, or cannot hold one, is declined", () => {
  const cases: readonly (readonly number[])[] = [
    [22, 2, 0],
    [22, 3, 1, 2, 0, 2],
    [22, 3, 1, 0, 41, 1],
    [22, 3, 1, 0x40, 1, 1],
    [22, 3, 1, 0xff, 0xff, 1],
  ];
  assert.deepEqual(new Set(results(cases.map((bytes) => Buffer.from(bytes)))), new Set(["DECLINED"]));
});

/** A ClientHello with these extensions, at the end of its bytes. */
function helloWith(extensions: readonly number[]): Buffer {
  const begin = [1, ...Array<number>(3 + 2 + 32).fill(0)];
  const body = [...begin, 0, 0, 2, 0x13, 1, 1, 0, 0, extensions.length, ...extensions];
  return Buffer.from([22, 3, 1, 0, body.length, ...body]);
}

test("extensions that end early, names that are too long, and what else stands at the edge", () => {
  const name = [..."abc"].map((letter) => letter.charCodeAt(0));
  const cases: readonly (readonly [readonly number[], string])[] = [
    [[], "OK"],
    [[0], "OK"],
    [[0, 0, 0], "OK"],
    [[0, 1, 0, 0], "OK"],
    [[0, 1, 0, 1], "DECLINED"],
    [[0, 0, 0, 8, 0, 6, 0, 0, 3, ...name], "OK abc"],
    [[0, 1, 0, 1, 9, 0, 0, 0, 8, 0, 6, 0, 0, 3, ...name], "OK abc"],
    [[0, 0, 0, 8, 0, 6, 0, 0, 2, ...name], "OK ab"],
    [[0, 0, 0, 8, 0, 6, 0, 0, 4, ...name], "DECLINED"],
    [[0, 0, 0, 9, 0, 6, 0, 0, 4, ...name], "DECLINED"],
    [[0, 0, 0, 8, 0, 6, 1, 0, 3, ...name], "DECLINED"],
    [[0, 0, 0, 4, 0, 2, 0, 0], "DECLINED"],
    [[0, 0, 0, 5, 0, 3, 0, 0, 0], "OK"],
  ];
  const pieces = cases.map(([extensions]) => helloWith(extensions));
  assert.deepEqual(
    results(pieces),
    cases.map(([, expected]) => expected),
  );
  assert.deepEqual(
    pieces.map(readHello),
    cases.map(([, expected]) => expected),
  );
});

/** Changes at random places: other bytes, lengths of nothing and of too much, bytes that go or are doubled, a new end. */
function mutate(random: () => number): Buffer {
  const bytes = Buffer.from(hello);
  const at = (): number => Math.floor(random() * bytes.length);
  for (let i = Math.floor(random() * 4); i >= 0; i--) {
    bytes[at()] = [0, 1, 0x7f, 0x80, 0xff, Math.floor(random() * 256)][Math.floor(random() * 6)]!;
  }
  const [cut, more] = [at(), at()];
  const kind = random();
  if (kind < 0.1) {
    return Buffer.concat([bytes.subarray(0, cut), bytes.subarray(cut + 1 + Math.floor(random() * 8))]);
  }
  if (kind < 0.2) {
    return Buffer.concat([bytes.subarray(0, cut), bytes.subarray(more)]);
  }
  if (kind < 0.4) {
    // a record that ends earlier than it should: everything in it may lead outside
    bytes.writeUInt16BE(cut, 3);
    return Buffer.from(bytes.subarray(0, 5 + cut));
  }
  return kind < 0.5 ? Buffer.from(bytes.subarray(0, cut)) : bytes;
}

test("20,000 damaged ClientHellos: nothing outside is read, and the answer is that of another reader", () => {
  const random = seeded(2026);
  const pieces = Array.from({ length: 20_000 }, () => mutate(random));
  const expected = pieces.map(readHello);
  assert.deepEqual(results(pieces), expected);
  for (const kind of ["AGAIN", "DECLINED", "OK", `OK ${serverNames.http}`]) {
    assert.ok(
      expected.filter((result) => result === kind).length > 50,
      `there must be some that are ${kind}`,
    );
  }
});

test("20,000 records of random bytes", () => {
  const random = seeded(7);
  const pieces = Array.from({ length: 20_000 }, () => {
    const bytes = Buffer.from(
      Array.from({ length: Math.floor(random() * 120) }, () => Math.floor(random() ** 3 * 256)),
    );
    const length = Math.max(42, bytes.length - Math.floor(random() * 3));
    return Buffer.concat([Buffer.from([22, 3, 1, 0, length, 1]), bytes]);
  });
  assert.deepEqual(results(pieces), pieces.map(readHello));
});
