/** TCP servers. */
import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { listen, offline, podName } from "./listen.ts";

/** A key and a certificate that nobody trusts. */
export function selfSigned(): string {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "-"];
  const args = ["req", "-x509", ...key, "-days", "1", "-subj", "/CN=own.example", "-out", "-"];
  return execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] }).toString();
}

/** What port 7003 received, most of it after it had ended. */
let heard = "";

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
      socket.write(`hello from ${podName}\n`);
      socket.on("data", (chunk) => socket.write(`you said ${chunk.toString()}: ${heard}\n`));
    }),
    7001,
  );
  listen(
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", ignore);
      socket.end("bye");
      socket.on("data", (chunk) => (heard += chunk.toString()));
    }),
    7003,
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
  startTls();
}

function startTls(): void {
  if (offline(7443)) {
    return;
  }
  const pem = selfSigned();
  listen(
    createTlsServer({ key: pem, cert: pem, ALPNProtocols: ["special"] }, (socket) => {
      socket.on("error", () => undefined);
      socket.write(`server name ${String(socket.servername)}, alpn ${String(socket.alpnProtocol)}\n`);
      socket.pipe(socket);
    }),
    7443,
  );
}
