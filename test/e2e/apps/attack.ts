/**
 * Clients that behave badly: `node attack.ts KIND HOST PORT [COUNT]`. Ends with status 0 when it has done so, and prints
 * one line of JSON.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const [kind, host = "", portText, countText = "20"] = process.argv.slice(2);
const port = Number(portText);
const count = Number(countText);

interface Ending {
  readonly answer: string;
  /** Why the mesh itself refused; "": it has not said that it did. */
  readonly reason: string;
  readonly ended: string;
}

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => socket.destroy(new Error("no connection within 3 s")), 3_000);
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
    socket.once("connect", () => clearTimeout(timer));
  });
}

/** Sends, and waits until the other side ends the connection, or for a while. */
async function send(bytes: Buffer | string, patience = 3_000): Promise<Ending> {
  let socket: Socket;
  try {
    socket = await open();
  } catch (error) {
    return { answer: "", reason: "", ended: `refused: ${(error as Error).message}` };
  }
  return await new Promise((resolve) => {
    let answer = "";
    const done = (ended: string): void => {
      clearTimeout(timer);
      socket.destroy();
      const reason = /^nginx-mesh-error: (\S+)/im.exec(answer)?.[1] ?? "";
      resolve({ answer: answer.slice(0, 60), reason, ended });
    };
    const timer = setTimeout(() => done("time"), patience);
    socket.on("data", (chunk) => (answer += chunk.toString("latin1")));
    socket.on("end", () => done("closed"));
    socket.on("error", () => done("reset"));
    socket.write(bytes);
  });
}

const mebibyte = 1024 * 1024;
/** A TLS record of type handshake whose length is right and whose content is not a ClientHello. */
const brokenHello = Buffer.concat([Buffer.from([22, 3, 1, 2, 0]), randomBytes(512)]);

/** A ClientHello whose record is whole and whose session id is longer than the rest of it. */
const overlongHello = Buffer.concat([
  Buffer.from([22, 3, 1, 0, 64, 1, 0, 0, 60, 3, 3]),
  Buffer.alloc(32, 7),
  Buffer.alloc(26, 200),
]);

async function garbage(): Promise<Ending[]> {
  const texts: (Buffer | string)[] = [
    randomBytes(4096),
    brokenHello,
    overlongHello,
    Buffer.alloc(70_000, 0),
    Buffer.from([22, 3, 1, 255, 255, 1]),
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\xff".repeat(1000),
    "GET / HTTP/9.9\r\n\r\n",
    "GET\r\n\r\n",
    "\r\n".repeat(1000),
  ];
  const endings = await Promise.all(
    Array.from({ length: count }, (_, index) => send(texts[index % texts.length]!)),
  );
  return endings;
}

/** Header lines of one mebibyte in all, and one line of that length. */
async function headers(): Promise<Ending[]> {
  const many = Array.from({ length: 256 }, (_, index) => `x-${index}: ${"a".repeat(4088)}\r\n`).join("");
  const one = `x: ${"a".repeat(mebibyte)}\r\n`;
  const head = `GET / HTTP/1.1\r\nHost: ${host}\r\n`;
  return await Promise.all([many, one].map((lines) => send(`${head}${lines}\r\n`)));
}

/** Requests of which a byte comes now and then; how many were answered with 200 when they had come whole. */
async function slow(): Promise<{ open: number; answered: number }> {
  const sockets = await Promise.all(Array.from({ length: count }, open));
  const answers = sockets.map(
    (socket) =>
      new Promise<string>((resolve) => {
        socket.once("data", (chunk) => resolve(chunk.toString("latin1")));
        socket.on("close", () => resolve(""));
        socket.on("error", () => undefined);
      }),
  );
  for (const character of "GET / HTTP/1.1\r\nHost: web\r\nx-slow: yes\r\n\r\n") {
    sockets.forEach((socket) => socket.writable && socket.write(character));
    await sleep(60);
  }
  sockets.forEach((socket) => setTimeout(() => socket.destroy(), 5_000).unref());
  const answered = (await Promise.all(answers)).filter((answer) => answer.startsWith("HTTP/1.1 200"));
  return { open: sockets.length, answered: answered.length };
}

/** Connections that have had one answer each and stay; ends when its input does. */
async function idle(): Promise<void> {
  const sockets: Socket[] = [];
  let closed = 0;
  let answered = 0;
  while (sockets.length < count) {
    const batch = await Promise.all(Array.from({ length: Math.min(200, count - sockets.length) }, open));
    await Promise.all(
      batch.map(
        (socket) =>
          new Promise<void>((resolve) => {
            socket.once("data", () => resolve(void (answered += 1)));
            socket.on("close", () => resolve(void (closed += 1)));
            socket.on("error", () => undefined);
            socket.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
          }),
      ),
    );
    sockets.push(...batch);
  }
  process.stdout.write(`${JSON.stringify({ open: sockets.length, answered, closed })}\n`);
  await new Promise<void>((resolve) => process.stdin.on("end", () => resolve()).resume());
  process.stdout.write(`${JSON.stringify({ open: sockets.length - closed, answered, closed })}\n`);
}

switch (kind) {
  case "garbage":
    process.stdout.write(`${JSON.stringify(await garbage())}\n`);
    break;
  case "headers":
    process.stdout.write(`${JSON.stringify(await headers())}\n`);
    break;
  case "slow":
    process.stdout.write(`${JSON.stringify(await slow())}\n`);
    break;
  case "idle":
    await idle();
    break;
  default:
    process.stderr.write(`there is no attack "${kind}"\n`);
    process.exitCode = 2;
}
process.exit();
