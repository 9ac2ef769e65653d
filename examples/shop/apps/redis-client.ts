/** As much of the redis protocol (RESP) as the shop needs: commands, and strings as answers. */
import { connect, type Socket } from "node:net";

export interface Redis {
  /** Resolves to the answer: a status, a string, or undefined for nothing. */
  command(...words: string[]): Promise<string | undefined>;
  close(): void;
}

interface Waiting {
  resolve(value: string | undefined): void;
  reject(error: Error): void;
}

/** The first complete answer in `text` and what follows it; undefined while it is incomplete. */
function readAnswer(text: string): { readonly value: string | undefined; readonly rest: string } | undefined {
  const end = text.indexOf("\r\n");
  if (end < 0) {
    return undefined;
  }
  const line = text.slice(1, end);
  const rest = text.slice(end + 2);
  switch (text[0]) {
    case "+":
    case ":":
      return { value: line, rest };
    case "$": {
      const length = Number(line);
      if (length < 0) {
        return { value: undefined, rest };
      }
      return rest.length < length + 2
        ? undefined
        : { value: rest.slice(0, length), rest: rest.slice(length + 2) };
    }
    default:
      throw new Error(`redis says: ${text.slice(0, end)}`);
  }
}

/** Connects at once; a broken connection rejects what waits. Values must be ASCII. */
export function connectRedis(host: string, port: number): Redis {
  const waiting: Waiting[] = [];
  let received = "";
  const socket: Socket = connect({ host, port, noDelay: true }).setEncoding("latin1");
  const fail = (error: Error): void => {
    socket.destroy();
    for (const entry of waiting.splice(0)) {
      entry.reject(error);
    }
  };
  socket.on("data", (text: string) => {
    received += text;
    try {
      for (let answer = readAnswer(received); answer !== undefined; answer = readAnswer(received)) {
        received = answer.rest;
        waiting.shift()?.resolve(answer.value);
      }
    } catch (error) {
      fail(error as Error);
    }
  });
  socket.on("error", fail);
  socket.on("close", () => fail(new Error(`the connection to ${host} was closed`)));
  return {
    command: (...words) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        socket.write(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`);
      }),
    close: () => socket.end(),
  };
}
