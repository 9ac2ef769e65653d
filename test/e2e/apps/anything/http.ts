/** The HTTP/1.1 server, by path. */
import { createServer as createHttp2Server } from "node:http2";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { listen, podName } from "./listen.ts";

let connections = 0;
const block = Buffer.alloc(256 * 1024, "0123456789abcdef");

function describe(request: IncomingMessage, response: ServerResponse): void {
  let size = 0;
  request.on("data", (chunk: Buffer) => (size += chunk.length));
  request.on("end", () => {
    const { method, url, httpVersion, rawHeaders, headers, rawTrailers } = request;
    const { remoteAddress, remotePort } = request.socket;
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        pod: podName,
        method,
        url,
        httpVersion,
        headers,
        rawHeaders,
        rawTrailers,
        bytes: size,
        connections,
        remoteAddress,
        remotePort,
      }),
    );
  });
}

function produce(response: ServerResponse, size: number): void {
  let left = size;
  const more = (): void => {
    while (left > 0) {
      const part = left < block.length ? block.subarray(0, left) : block;
      left -= part.length;
      if (!response.write(part)) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}

/** Three events, 300 ms apart, each with the time at which it was sent. */
function events(response: ServerResponse): void {
  let sent = 0;
  response.setHeader("content-type", "text/event-stream");
  response.flushHeaders();
  const timer = setInterval(() => {
    sent += 1;
    response.write(`data: ${Date.now()}\n\n`);
    if (sent === 3) {
      clearInterval(timer);
      response.end();
    }
  }, 300);
}

/** Answers each chunk of the request as it comes. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  response.flushHeaders();
  request.pipe(response);
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://x");
  response.setHeader("served-by", podName);
  response.setHeader("asked-by", request.method ?? "");
  switch (url.pathname) {
    case "/produce":
      produce(response, Number(url.searchParams.get("bytes")));
      return;
    case "/events":
      events(response);
      return;
    case "/echo":
      echo(request, response);
      return;
    case "/hints":
      response.writeEarlyHints({ link: "</style.css>; rel=preload" }, () => response.end("hinted"));
      return;
    case "/slow":
      setTimeout(() => response.end("slow"), Number(url.searchParams.get("ms")));
      return;
    case "/break":
      request.socket.destroy();
      return;
    default:
      describe(request, response);
  }
}

export function startHttp(): void {
  const server = createServer(
    { maxHeaderSize: 128 * 1024, requestTimeout: 0, keepAliveTimeout: 3_600_000 },
    handle,
  );
  const webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (given) => [...given][0] ?? false,
  });
  server.on("connection", () => (connections += 1));
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => undefined);
    if (request.headers.upgrade === "websocket") {
      webSockets.handleUpgrade(request, socket, head, (peer) => {
        peer.send(`welcome ${request.url}`);
        peer.on("message", (data, binary) => peer.send(data, { binary }));
      });
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`,
    );
    socket.write(head);
    socket.pipe(socket);
  });
  listen(server, 8080);
}

/** HTTP/2 with prior knowledge that is not gRPC: answers with the request's headers. */
export function startHttp2(): void {
  const server = createHttp2Server((request, response) => {
    response.end(JSON.stringify({ pod: podName, headers: request.headers }));
  });
  listen(server, 8082);
}
