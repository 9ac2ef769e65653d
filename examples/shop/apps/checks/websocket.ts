/** WebSocket: short conversations, and one that lasts as long as the traffic does. */
import { type Check, expect, expectCaller, nextNumber, within } from "./check.ts";

const address = "ws://notifications/notifications";

interface Conversation {
  readonly socket: WebSocket;
  /** The next message. */
  next(): Promise<Record<string, unknown>>;
}

function converse(): Conversation {
  const socket = new WebSocket(address);
  const arrived: string[] = [];
  let problem: string | undefined;
  let wake = (): void => {};
  socket.addEventListener("message", (event) => {
    arrived.push(String(event.data));
    wake();
  });
  socket.addEventListener("close", (event) => {
    problem = `notifications closed the connection (${event.code})`;
    wake();
  });
  socket.addEventListener("error", () => {
    problem = "the connection to notifications broke";
    wake();
  });
  const next = async (): Promise<Record<string, unknown>> => {
    while (arrived.length === 0) {
      if (problem !== undefined) {
        throw new Error(problem);
      }
      await new Promise<void>((resolve) => (wake = resolve));
    }
    return JSON.parse(arrived.shift() ?? "") as Record<string, unknown>;
  };
  return { socket, next };
}

async function exchange(conversation: Conversation, count: number): Promise<void> {
  const text = `note ${nextNumber()}`;
  conversation.socket.send(text);
  const answer = await within(5000, "notifications", conversation.next());
  expect("the notification", answer["text"], text);
  expect("its number", answer["count"], count);
}

async function greeting(conversation: Conversation): Promise<void> {
  const hello = await within(5000, "notifications", conversation.next());
  expectCaller("the caller that notifications sees", hello["caller"], "traffic");
}

async function short(): Promise<void> {
  const conversation = converse();
  try {
    await greeting(conversation);
    for (let i = 1; i <= 5; i++) {
      await exchange(conversation, i);
    }
  } finally {
    conversation.socket.close();
  }
}

let lasting: Conversation | undefined;
let sent = 0;

/** A broken connection is a failure once; the next exchange makes a new one. */
async function long(): Promise<void> {
  if (lasting === undefined) {
    lasting = converse();
    sent = 0;
    await greeting(lasting);
  }
  try {
    sent += 1;
    await exchange(lasting, sent);
  } catch (error) {
    lasting.socket.close();
    lasting = undefined;
    throw error;
  }
}

export const websocketChecks: readonly Check[] = [
  { name: "short WebSocket", rate: 3, mostAtOnce: 20, run: short },
  { name: "lasting WebSocket", rate: 2, mostAtOnce: 1, run: long },
];
