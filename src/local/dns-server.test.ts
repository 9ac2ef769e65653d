import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { decode, encode, type Packet, RECURSION_DESIRED, TRUNCATED_RESPONSE } from "dns-packet";
import { freePort } from "../../test/fixtures/nats-server.ts";
import { createForwarder, type Forwarder } from "./dns-forward.ts";
import { type DnsServer, serveDns } from "./dns-server.ts";
import { namesOf } from "./names.ts";

const many = Array.from({ length: 100 }, (_, i) => `10.64.1.${i}`);
const outside = createSocket("udp4");
let asked = 0;
let port: number;
let forwarder: Forwarder;
let server: DnsServer;

before(async () => {
  outside.on("message", (message, from) => {
    asked += 1;
    const query = decode(message);
    const name = query.questions?.[0]?.name ?? "";
    if (name !== "silent.example") {
      const answers = [{ type: "A" as const, name, ttl: 9, data: "192.0.2.7" }];
      outside.send(encode({ ...query, type: "response", answers }), from.port, from.address);
    }
  });
  outside.bind(0, "127.0.0.1");
  await once(outside, "listening");
  forwarder = createForwarder(["127.0.0.1"], undefined, outside.address().port);
  port = await freePort();
  server = await serveDns("127.0.0.1", forwarder, port);
  server.setNames(
    namesOf(
      [
        { namespace: "shop", name: "web", addresses: ["10.64.128.10"], pods: [] },
        { namespace: "shop", name: "many", addresses: many, pods: [] },
      ],
      "10.64.0.0/16",
    ),
  );
});

after(() => {
  server.close();
  forwarder.close();
  outside.close();
});

type RecordType = "A" | "AAAA" | "PTR" | "SRV";

function question(name: string, type: RecordType = "A"): Buffer {
  return encode({ type: "query", id: 4711, flags: RECURSION_DESIRED, questions: [{ type, name }] });
}

const codes: Readonly<Record<number, string>> = { 0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN" };

/** Name of the response code. */
function codeOf(packet: Packet): string | undefined {
  return codes[(packet.flags ?? 0) & 15];
}

async function overUdp(message: Buffer): Promise<Packet> {
  const socket = createSocket("udp4");
  socket.send(message, port, "127.0.0.1");
  const [answer] = (await once(socket, "message", { signal: AbortSignal.timeout(5000) })) as [Buffer];
  socket.close();
  return decode(answer);
}

/** Sends the questions in the given number of pieces, and gives the answers as they come. */
async function overTcp(messages: readonly Buffer[], pieces: number): Promise<Packet[]> {
  const framed = Buffer.concat(
    messages.flatMap((message) => [Buffer.from([message.length >> 8, message.length & 255]), message]),
  );
  const socket = connect(port, "127.0.0.1");
  const size = Math.ceil(framed.length / pieces);
  for (let at = 0; at < framed.length; at += size) {
    socket.write(framed.subarray(at, at + size));
    await new Promise((done) => setTimeout(done, 5));
  }
  let received = Buffer.alloc(0);
  const answers: Packet[] = [];
  socket.setTimeout(5000, () => socket.destroy(new Error(`${answers.length} answers`)));
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      answers.push(decode(received.subarray(2, end)));
      received = received.subarray(end);
    }
    if (answers.length === messages.length) {
      break;
    }
  }
  return answers;
}

function addressesIn(packet: Packet): string[] {
  return (packet.answers ?? []).flatMap((answer) => (answer.type === "A" ? [answer.data] : []));
}

test("a name of the mesh", async () => {
  const answer = await overUdp(question("web.shop.svc.cluster.local"));
  assert.equal(answer.id, 4711);
  assert.equal(codeOf(answer), "NOERROR");
  assert.deepEqual(addressesIn(answer), ["10.64.128.10"]);
});

test("no address of another family, and no such name", async () => {
  const empty = await overUdp(question("web.shop.svc.cluster.local", "AAAA"));
  assert.deepEqual([codeOf(empty), empty.answers?.length], ["NOERROR", 0]);
  const unknown = await overUdp(question("nobody.shop.svc.cluster.local"));
  assert.deepEqual([codeOf(unknown), unknown.answers?.length], ["NXDOMAIN", 0]);
});

test("the name of an address of the mesh; one that has none is not asked of the outside", async () => {
  const before = asked;
  const answer = await overUdp(question("10.128.64.10.in-addr.arpa", "PTR"));
  assert.deepEqual(
    answer.answers?.map((each) => each.type === "PTR" && each.data),
    ["web.shop.svc.cluster.local"],
  );
  assert.equal(codeOf(await overUdp(question("11.128.64.10.in-addr.arpa", "PTR"))), "NXDOMAIN");
  assert.equal(asked, before);
});

test("an answer that does not fit a datagram is cut, and whole over TCP, in whatever pieces the question comes", async () => {
  const cut = await overUdp(question("many.shop.svc.cluster.local"));
  assert.equal((cut.flags ?? 0) & TRUNCATED_RESPONSE, TRUNCATED_RESPONSE);
  for (const pieces of [1, 2, 7]) {
    const [whole] = await overTcp([question("many.shop.svc.cluster.local")], pieces);
    assert.deepEqual(addressesIn(whole!).sort(), [...many].sort());
  }
});

test("questions that come at once over TCP are answered in their order", async () => {
  const questions = [
    question("www.example.com"),
    question("many.shop.svc.cluster.local"),
    question("many.shop.svc.cluster.local", "AAAA"),
  ];
  for (const pieces of [1, 2, 7]) {
    const answers = await overTcp(questions, pieces);
    assert.deepEqual(
      answers.map((answer) => addressesIn(answer).length),
      [1, many.length, 0],
    );
  }
});

test("other names are asked of the host's servers, with the asker's id; silence is a server failure", async () => {
  const answer = await overUdp(question("www.example.com"));
  assert.deepEqual([answer.id, addressesIn(answer)], [4711, ["192.0.2.7"]]);
  const before = asked;
  const silent = await overUdp(question("silent.example"));
  assert.equal(codeOf(silent), "SERVFAIL");
  assert.equal(asked - before, 2, "asked twice");
});

test("garbage is not answered and does no harm", async () => {
  const socket = createSocket("udp4");
  for (const bytes of [Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(12, 255), Buffer.alloc(500, 192)]) {
    socket.send(bytes, port, "127.0.0.1");
  }
  const tcp = connect(port, "127.0.0.1");
  tcp.write(Buffer.alloc(70_000, 255));
  tcp.on("error", () => undefined);
  await new Promise((done) => setTimeout(done, 50));
  socket.close();
  tcp.destroy();
  assert.equal(codeOf(await overUdp(question("web.shop.svc.cluster.local"))), "NOERROR");
});
