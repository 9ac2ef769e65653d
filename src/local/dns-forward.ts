/** Questions to the host's name servers, through a socket of the host's network. */
import { createSocket, type Socket } from "node:dgram";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";

export interface Forwarder {
  /** The answer as it came, with the question's id; undefined: none in time, or too many questions at once. */
  ask(message: Buffer): Promise<Buffer | undefined>;
  close(): void;
}

/** Milliseconds until the next server is asked too; after twice that there is no answer. */
const patience = 1_500;
const mostPending = 256;

/** IPv4 name servers of the host, from its resolv.conf. */
export function hostServers(path = "/etc/resolv.conf"): string[] {
  try {
    return [...readFileSync(path, "utf8").matchAll(/^\s*nameserver\s+([\d.]+)\s*$/gm)].map(
      (match) => match[1]!,
    );
  } catch {
    return [];
  }
}

interface Pending {
  readonly id: number;
  readonly resolve: (answer: Buffer | undefined) => void;
  readonly timers: NodeJS.Timeout[];
}

/** `file`: number of an open UDP socket to use; undefined: a new one. */
export function createForwarder(servers: readonly string[], file: number | undefined, port = 53): Forwarder {
  const socket: Socket = createSocket("udp4");
  const pending = new Map<number, Pending>();

  const finish = (id: number, answer: Buffer | undefined): void => {
    const question = pending.get(id);
    if (question !== undefined) {
      pending.delete(id);
      question.timers.forEach(clearTimeout);
      answer?.writeUInt16BE(question.id, 0);
      question.resolve(answer);
    }
  };
  socket.on("message", (answer, from) => {
    if (answer.length >= 12 && servers.includes(from.address)) {
      finish(answer.readUInt16BE(0), answer);
    }
  });
  // a server that refuses is one that does not answer
  socket.on("error", () => undefined);
  socket.bind(file === undefined ? {} : { fd: file });
  socket.unref();

  const freeId = (): number => {
    let id = randomInt(65_536);
    while (pending.has(id)) {
      id = randomInt(65_536);
    }
    return id;
  };

  return {
    ask(message) {
      if (servers.length === 0 || pending.size >= mostPending || message.length < 12) {
        return Promise.resolve(undefined);
      }
      const id = freeId();
      const question = Buffer.from(message);
      question.writeUInt16BE(id, 0);
      return new Promise((resolve) => {
        const send = (server: string | undefined): void => {
          socket.send(question, port, server, () => undefined);
        };
        const timers = [
          setTimeout(() => send(servers[1] ?? servers[0]), patience),
          setTimeout(() => finish(id, undefined), 2 * patience),
        ];
        pending.set(id, { id: message.readUInt16BE(0), resolve, timers });
        send(servers[0]);
      });
    },
    close() {
      [...pending.keys()].forEach((id) => finish(id, undefined));
      socket.close();
    },
  };
}
