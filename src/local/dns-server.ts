/** The mesh's DNS server, on the gateway: names of the mesh itself, everything else handed to the host's servers. */
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:net";
import {
  decode,
  encode,
  type Packet,
  type Question,
  RECURSION_AVAILABLE,
  AUTHORITATIVE_ANSWER,
} from "dns-packet";
import type { Forwarder } from "./dns-forward.ts";
import { answerFor, type Names, namesOf } from "./names.ts";

/** Seconds: addresses of Services stay, those of pods do not. */
const ttl = 5;
/** RFC 1035, section 4.2.1. */
const largestDatagram = 512;
const noSuchName = 3;
const serverFailure = 2;

export interface DnsServer {
  setNames(names: Names): void;
  close(): void;
}

/** What the answers say of the name that was asked for. */
interface Found {
  readonly type: "A" | "PTR";
  readonly data: string;
}

function respond(query: Packet, code: number, found: readonly Found[]): Buffer {
  const question = query.questions?.[0];
  return encode({
    type: "response",
    id: query.id ?? 0,
    flags: AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | ((query.flags ?? 0) & 0x0100) | code,
    questions: query.questions ?? [],
    answers: found.map((each) => ({ ...each, name: question?.name ?? ".", ttl })),
  });
}

/** RFC 1035: a response that does not fit says so, and the client asks again over TCP. */
function fitting(query: Packet, code: number, found: readonly Found[]): Buffer {
  const whole = respond(query, code, found);
  if (whole.length <= largestDatagram) {
    return whole;
  }
  const cut = respond(query, code, []);
  cut.writeUInt16BE(cut.readUInt16BE(2) | 0x0200, 2);
  return cut;
}

/** Serves UDP and TCP at the address. Rejects when port 53 there cannot be had. */
export async function serveDns(address: string, forwarder: Forwarder, port = 53): Promise<DnsServer> {
  let names: Names = namesOf([], address);
  let turn = 0;

  const answer = async (
    message: Buffer,
    finish: (query: Packet, code: number, found: readonly Found[]) => Buffer,
  ): Promise<Buffer | undefined> => {
    let query: Packet;
    try {
      query = decode(message);
    } catch {
      return undefined;
    }
    const question: Question | undefined = query.questions?.[0];
    if (query.type !== "query" || question === undefined) {
      return undefined;
    }
    const found = answerFor(names, question.name, question.type, turn++);
    switch (found.kind) {
      case "addresses":
        return finish(
          query,
          0,
          found.addresses.map((data) => ({ type: "A", data })),
        );
      case "name":
        return finish(query, 0, [{ type: "PTR", data: found.name }]);
      case "empty":
        return finish(query, 0, []);
      case "unknown":
        return finish(query, noSuchName, []);
      case "outside":
        return (await forwarder.ask(message)) ?? finish(query, serverFailure, []);
    }
  };

  const udp: Socket = createSocket("udp4");
  udp.on("message", (message, from) => {
    void answer(message, fitting).then((reply) => reply && udp.send(reply, from.port, from.address));
  });
  const tcp: Server = createServer((socket) => {
    let pending = Buffer.alloc(0);
    let answered = Promise.resolve();
    const reply = async (message: Buffer): Promise<void> => {
      const bytes = await answer(message, respond);
      if (bytes === undefined) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      socket.write(Buffer.concat([length, bytes]));
    };
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      // several may come at once (RFC 7766, section 6.2.1.1): resolvers ask for A and AAAA in one write
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const message = pending.subarray(2, 2 + pending.readUInt16BE(0));
        pending = pending.subarray(2 + message.length);
        answered = answered.then(() => reply(message));
      }
    });
  });
  await Promise.all([
    new Promise<void>((resolve, reject) => udp.once("error", reject).bind(port, address, resolve)),
    new Promise<void>((resolve, reject) => tcp.once("error", reject).listen(port, address, resolve)),
  ]);
  udp.on("error", () => undefined);
  tcp.on("error", () => undefined);
  return {
    setNames: (next) => void (names = next),
    close() {
      udp.close();
      tcp.close();
    },
  };
}
