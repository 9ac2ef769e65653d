/** Connections of every kind that a test opens in a pod and uses again later. They go to `anything.ts` in pod `server`. */
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { anythingService, grpcClient } from "./tools.ts";

/** One connection with an echo at its other end. */
interface Held {
  readonly send: (text: string) => void;
  /** Called by the connection with what comes back. */
  heard: (text: string) => void;
  closed: boolean;
}

const patience = 3000;
const held: Record<string, Held> = {};

function hold(kind: string, send: Held["send"]): Held {
  const entry: Held = { send, heard: () => undefined, closed: false };
  held[kind] = entry;
  return entry;
}

function close(entry: Held): void {
  entry.closed = true;
  entry.heard("closed");
}

async function ask(entry: Held, text: string): Promise<string> {
  const answer = new Promise<string>((resolve) => (entry.heard = resolve));
  if (entry.closed) {
    return "closed";
  }
  entry.send(text);
  return await Promise.race([answer, sleep(patience, "no answer")]);
}

function openTcp(kind: string, host: string, port: number): void {
  const socket = connect(port, host);
  const entry = hold(kind, (text) => socket.write(text));
  socket.on("data", (data: Buffer) => entry.heard(data.toString()));
  socket.on("error", () => undefined);
  socket.on("close", () => close(entry));
}

/** Resolves when the server has spoken. */
async function openWebSocket(): Promise<void> {
  const peer = new WebSocket("ws://server/");
  const entry = hold("WebSocket", (text) => peer.send(text));
  await once(peer, "message");
  peer.on("message", (data: Buffer) => entry.heard(data.toString()));
  peer.on("error", () => undefined);
  peer.on("close", () => close(entry));
}

function openGrpc(): void {
  const { path, requestSerialize, responseDeserialize } = anythingService.converse;
  const stream = grpcClient("server:50051").makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
  );
  const entry = hold("gRPC stream", (text) => stream.write(Buffer.from(text)));
  stream.on("data", (data: Buffer) => entry.heard(data.toString().replace("you said ", "")));
  stream.on("error", () => close(entry));
}

/** A request whose body has not ended, with an answer that has not ended either. */
function openHttp(): void {
  const post = request("http://server/echo", { method: "POST", agent: false }, (response) => {
    response.on("data", (data: Buffer) => entry.heard(data.toString()));
    response.on("error", () => undefined);
    response.on("close", () => close(entry));
  });
  const entry = hold("HTTP bodies", (text) => post.write(text));
  post.on("error", () => close(entry));
  post.flushHeaders();
}

/** Opens one of each kind and uses it once; resolves with the answers. `outside`: a TCP echo that is not of the mesh. */
export async function openAll(outside: {
  readonly host: string;
  readonly port: number;
}): Promise<Record<string, string>> {
  openTcp("TCP", "server", 7000);
  openTcp("TCP to outside", outside.host, outside.port);
  openGrpc();
  openHttp();
  await openWebSocket();
  return await useAll("first");
}

/** Sends the text on every connection, one after the other; resolves with what came back. */
export async function useAll(text: string): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  for (const [kind, entry] of Object.entries(held)) {
    answers[kind] = await ask(entry, text);
  }
  return answers;
}
