import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { seeded } from "../sidecar/random.ts";
import { compileParser, parsePieces } from "./pieces.ts";

const folder = mkdtempSync(join(tmpdir(), "mesh-request-"));
const program = join(folder, "request");

before(() => compileParser("ngx_mesh_request.c", "report_request.c", program));
after(() => rmSync(folder, { recursive: true, force: true }));

function results(texts: readonly string[]): string[] {
  return parsePieces(
    program,
    texts.map((text) => Buffer.from(text, "latin1")),
  );
}

const requests = [
  "GET / HTTP/1.1\r\nHost: a\r\n",
  "GET / HTTP/1.0\n",
  "POST /a?b=c HTTP/1.1\r\n",
  "OPTIONS * HTTP/1.1\r\n",
  "CONNECT a.example:443 HTTP/1.1\r\n",
  "GET http://a.example/ HTTP/1.1\r\n",
  "PROPFIND /dav HTTP/1.1\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

test("requests of HTTP/1 and the preface of HTTP/2", () => {
  assert.deepEqual(new Set(results(requests)), new Set(["OK"]));
});

test("each beginning of a request line asks for more", () => {
  const lines = requests.map((text) => text.slice(0, text.indexOf("\n")));
  const beginnings = lines.flatMap((line) =>
    Array.from({ length: line.length + 1 }, (_, n) => line.slice(0, n)),
  );
  assert.deepEqual(new Set(results(beginnings)), new Set(["AGAIN"]));
});

test("other protocols whose client speaks first", () => {
  const others = [
    "GET key\r\n",
    "GET /key\r\n",
    "PING\r\n",
    "*1\r\n$4\r\nPING\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "EHLO a.example\r\n",
    "get / HTTP/1.1\r\n",
    " GET / HTTP/1.1\r\n",
    "\r\nGET / HTTP/1.1\r\n",
    "GET / HTTP/1.1 \r\n",
    "GET / HTTP/x.1\r\n",
    "GET / HTTPS/1.1\r\n",
    "GET  HTTP/1.1\r\n",
    "HTTP/1.1\r\n",
    "\x16\x03\x01\x02\x00\x01\x00",
    "\0\0\0\x08\x04\xd2\x16\x2f",
    `${"A".repeat(33)} / HTTP/1.1\r\n`,
    "\n",
  ];
  assert.deepEqual(
    results(others).map((result, i) => [others[i], result]),
    others.map((text) => [text, "DECLINED"]),
  );
});

test("a line without an end is HTTP when it asks for a path, else something else", () => {
  assert.deepEqual(
    results([
      `GET /${"a".repeat(8186)}`,
      `GET /${"a".repeat(8187)}`,
      `SET ${"a".repeat(8187)}`,
      `SET ${"a".repeat(8188)}`,
    ]),
    ["AGAIN", "OK", "AGAIN", "DECLINED"],
  );
});

test("20,000 damaged requests: nothing outside is read", () => {
  const random = seeded(11);
  const pieces = Array.from({ length: 20_000 }, () => {
    const bytes = Buffer.from(requests[Math.floor(random() * requests.length)]!, "latin1");
    for (let i = Math.floor(random() * 3); i >= 0; i--) {
      bytes[Math.floor(random() * bytes.length)] = [0, 10, 13, 32, 47, 65, 255][Math.floor(random() * 7)]!;
    }
    return bytes.subarray(0, Math.floor(random() * (bytes.length + 1)));
  });
  const seen = parsePieces(program, pieces);
  for (const kind of ["OK", "AGAIN", "DECLINED"]) {
    assert.ok(seen.filter((result) => result === kind).length > 100, `there must be some that are ${kind}`);
  }
});
