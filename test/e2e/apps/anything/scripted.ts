/**
 * HTTP/1.1 by bytes: answers with what the request's path holds in base64url (`/raw/…`), or with the request as it
 * arrived, byte by byte, as the body (`/head…`).
 */
import { createServer, type Socket } from "node:net";
import { listen } from "./listen.ts";

function answer(socket: Socket, head: string): void {
  const script = /^\S+ \/raw\/([-_A-Za-z0-9]+)/.exec(head)?.[1];
  if (script !== undefined) {
    const text = Buffer.from(script, "base64url").toString("latin1");
    socket.write(text, "latin1");
    if (/^HTTP\/1.0|connection: close/im.test(text)) {
      socket.end();
    }
    return;
  }
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${head.length}\r\n\r\n`);
  socket.write(head, "latin1");
}

export function startScripted(): void {
  const server = createServer((socket) => {
    let text = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        answer(socket, text.slice(0, end + 4));
        text = text.slice(end + 4);
      }
    });
  });
  listen(server, 8081);
}
