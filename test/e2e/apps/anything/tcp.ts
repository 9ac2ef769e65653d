/** TCP servers. */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { createServer as createTlsServer } from "node:tls";
import { listen } from "./listen.ts";

const folder = import.meta.dirname;

export function startTcp(): void {
  const ignore = (): void => undefined;
  listen(
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", ignore);
      socket.pipe(socket);
    }),
    7000,
  );
  listen(
    createServer((socket) => {
      socket.on("error", ignore);
      socket.write(`hello from ${hostname()}\n`);
      socket.on("data", (chunk) => socket.write(`you said ${chunk.toString()}`));
    }),
    7001,
  );
  listen(
    createServer({ allowHalfOpen: true }, (socket) => {
      let sum = 0;
      socket.on("error", ignore);
      socket.on("data", (chunk) => (sum += chunk.length));
      socket.on("end", () => setTimeout(() => socket.end(`${sum} bytes\n`), 200));
    }),
    7002,
  );
  const key = readFileSync(`${folder}/tls.key`);
  const cert = readFileSync(`${folder}/tls.crt`);
  listen(
    createTlsServer({ key, cert, ALPNProtocols: ["special"] }, (socket) => {
      socket.on("error", ignore);
      socket.write(`server name ${String(socket.servername)}, alpn ${String(socket.alpnProtocol)}\n`);
      socket.pipe(socket);
    }),
    7443,
  );
}
