/** TCP: the ledger with its half-closed connections, redis, and NATS, whose server speaks first. */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

import { connectRedis } from "../redis-client.ts";
import { type Check, expect, nextNumber, within } from "./check.ts";

interface Connection {
  readonly socket: Socket;
  readonly lines: AsyncIterator<string>;
}

function open(host: string, port: number): Connection {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  const failed = new Promise<never>((_resolve, reject) => socket.on("error", reject));
  failed.catch(() => {});
  const iterator = createInterface({ input: socket })[Symbol.asyncIterator]();
  return { socket, lines: { next: () => Promise.race([iterator.next(), failed]) } };
}

async function line(lines: AsyncIterator<string>, what: string): Promise<string> {
  const result = await lines.next();
  if (result.done === true) {
    throw new Error(`${what} closed the connection`);
  }
  return result.value;
}

async function ledger(): Promise<void> {
  const { socket, lines } = open("ledger", 7000);
  try {
    const amounts = [nextNumber(), 2, 3];
    let sum = 0;
    for (const amount of amounts) {
      sum += amount;
      socket.write(`${amount}\n`);
      expect("the ledger's sum", await line(lines, "ledger"), `sum ${sum}`);
    }
    socket.end();
    expect("what the ledger says after the end", await line(lines, "ledger"), `lines ${amounts.length}`);
    expect("the end of the ledger's side", (await lines.next()).done, true);
  } finally {
    socket.destroy();
  }
}

async function cache(): Promise<void> {
  const redis = connectRedis("cache", 6379);
  try {
    const key = `traffic:${nextNumber()}`;
    const value = "v".repeat(1000) + key;
    const answers = await Promise.all([
      redis.command("SET", key, value, "EX", "60"),
      redis.command("GET", key),
      redis.command("DEL", key),
    ]);
    expect("what redis says", answers[0], "OK");
    expect("what redis kept", answers[1], value);
    expect("what redis deleted", answers[2], "1");
  } finally {
    redis.close();
  }
}

async function events(): Promise<void> {
  const { socket, lines } = open("events", 4222);
  try {
    const greeting = await line(lines, "events");
    expect("the first word of NATS", greeting.split(" ")[0], "INFO");
    const text = `order ${nextNumber()}`;
    socket.write(`CONNECT {"verbose":false}\r\nSUB orders 1\r\nPUB orders ${text.length}\r\n${text}\r\n`);
    expect("the header of the event", await line(lines, "events"), `MSG orders 1 ${text.length}`);
    expect("the event", await line(lines, "events"), text);
  } finally {
    socket.destroy();
  }
}

export const tcpChecks: readonly Check[] = [
  { name: "entry in ledger", rate: 10, mostAtOnce: 20, run: () => within(5000, "ledger", ledger()) },
  { name: "value in cache", rate: 10, mostAtOnce: 20, run: () => within(5000, "cache", cache()) },
  { name: "event of events", rate: 10, mostAtOnce: 20, run: () => within(5000, "events", events()) },
];
