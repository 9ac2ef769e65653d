import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalAddress } from "../../model/address.ts";
import {
  answerTo,
  candidateNames,
  questionOf,
  readResolverSettings,
  typeA,
  typeAaaa,
  type ResolverSettings,
} from "./dns.ts";

/** As the kubelet writes it. */
const kubelet = `search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
`;

const files: readonly (readonly [string, string, ResolverSettings])[] = [
  [
    "the kubelet's",
    kubelet,
    {
      servers: ["10.96.0.10"],
      search: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"],
      ndots: 5,
      timeout: 5,
      attempts: 2,
    },
  ],
  ["none at all", "", { servers: ["127.0.0.1"], search: [], ndots: 1, timeout: 5, attempts: 2 }],
  [
    "tabs, comments, four servers, two search lists, options of all kinds",
    "# a comment\r\n; another\ndomain one\nnameserver\t192.0.2.1\nnameserver fd00::1\nnameserver 192.0.2.3\nnameserver 192.0.2.4\nsearch two three\noptions rotate timeout:0 attempts:9 ndots:x edns0\noptions ndots:2\n",
    {
      servers: ["192.0.2.1", "fd00::1", "192.0.2.3"],
      search: ["two", "three"],
      ndots: 2,
      timeout: 1,
      attempts: 2,
    },
  ],
];

for (const [title, text, expected] of files) {
  test(`resolv.conf: ${title}`, () => assert.deepEqual(readResolverSettings(text), expected));
}

test("names are tried with the search list first when they have few dots, and alone when they end with one", () => {
  const settings = readResolverSettings(kubelet);
  assert.deepEqual(candidateNames("nats-server.nginx-mesh.svc", settings), [
    "nats-server.nginx-mesh.svc.shop.svc.cluster.local",
    "nats-server.nginx-mesh.svc.svc.cluster.local",
    "nats-server.nginx-mesh.svc.cluster.local",
    "nats-server.nginx-mesh.svc",
  ]);
  assert.deepEqual(candidateNames("nats.example.", settings), ["nats.example"]);
  assert.deepEqual(candidateNames("a.b.c", { ...settings, ndots: 2, search: ["x.", "."] }), [
    "a.b.c",
    "a.b.c.x",
    "a.b.c",
  ]);
});

const latin1 = (hex: string): string => Buffer.from(hex.replaceAll(/\s/g, ""), "hex").toString("latin1");

test("a question is the message that RFC 1035 shows", () => {
  assert.equal(
    questionOf(0x1234, "a.example", typeA),
    latin1("1234 0100 0001 0000 0000 0000 01 61 07 6578616d706c65 00 0001 0001"),
  );
  for (const name of ["", ".", "a..b", `${"x".repeat(64)}.b`, `${"x.".repeat(127)}x`]) {
    assert.equal(questionOf(1, name, typeA), undefined, name);
  }
});

interface AnswerRecord {
  readonly type: number;
  readonly data: string;
}

/** A message as a server makes it, names compressed. */
function reply(question: string, flags: number, records: readonly AnswerRecord[]): string {
  const count = Buffer.from([records.length >> 8, records.length & 255]).toString("latin1");
  const head = `${question.slice(0, 2)}${String.fromCharCode(flags >> 8, flags & 255)}${question.slice(4, 6)}${count}${latin1("00000000")}`;
  const body = records.map(({ type, data }) => {
    const meta = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 30, data.length >> 8, data.length & 255]);
    return meta.toString("latin1") + data;
  });
  return head + question.slice(12) + body.join("");
}

const question = questionOf(7, "nats.example", typeA)!;
const a = (text: string): AnswerRecord => ({
  type: typeA,
  data: String.fromCharCode(...text.split(".").map(Number)),
});
const cname: AnswerRecord = { type: 5, data: `${String.fromCharCode(5)}other\0` };

test("addresses are taken from the answer, also behind another name; what is cut off is left out", () => {
  const whole = reply(question, 0x8180, [cname, a("10.96.0.5"), a("10.96.0.6")]);
  assert.deepEqual(answerTo(question, whole), { kind: "addresses", addresses: ["10.96.0.5", "10.96.0.6"] });
  assert.deepEqual(answerTo(question, whole.slice(0, -1)), { kind: "addresses", addresses: ["10.96.0.5"] });
  const six = questionOf(8, "nats.example", typeAaaa)!;
  const data = latin1("fd00 0000 0000 0000 0000 0000 0000 0a0b");
  assert.deepEqual(answerTo(six, reply(six, 0x8180, [a("10.96.0.5"), { type: typeAaaa, data }])), {
    kind: "addresses",
    addresses: [canonicalAddress("fd00::a0b")],
  });
});

test("no such name, none of this type, a failure, and answers to something else", () => {
  assert.deepEqual(answerTo(question, reply(question, 0x8183, [])), { kind: "none" });
  assert.deepEqual(answerTo(question, reply(question, 0x8180, [cname])), { kind: "none" });
  assert.deepEqual(answerTo(question, reply(question, 0x8182, [])), { kind: "failed" });
  const other = questionOf(7, "other.example", typeA)!;
  const later = questionOf(9, "nats.example", typeA)!;
  assert.equal(answerTo(question, reply(other, 0x8180, [a("10.0.0.1")])), undefined);
  assert.equal(answerTo(question, reply(later, 0x8180, [a("10.0.0.1")])), undefined);
  assert.equal(answerTo(question, question), undefined, "a question is no answer");
  // some resolvers answer in the case that they like
  const shouted = reply(questionOf(7, "NATS.example", typeA)!, 0x8180, [a("10.0.0.1")]);
  assert.deepEqual(answerTo(question, shouted), { kind: "addresses", addresses: ["10.0.0.1"] });
});

test("whatever comes over the wire, reading it ends and gives whole addresses only", () => {
  const bytes = fc.array(fc.nat(255), { maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.nat(9), (tail, records) => {
      const head = reply(question, 0x8180, []);
      const message = `${head.slice(0, 6)}\0${String.fromCharCode(records)}${head.slice(8)}${String.fromCharCode(...tail)}`;
      const answer = answerTo(question, message);
      assert.ok(answer !== undefined);
      if (answer.kind === "addresses") {
        answer.addresses.forEach((address) => assert.equal(canonicalAddress(address), address));
      }
    }),
  );
});
