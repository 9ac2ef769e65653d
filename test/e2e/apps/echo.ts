/**
 * HTTP server for tests: answers with what it was asked, as JSON. Environment: PORT (default 8080), LISTEN, DELAY
 * (milliseconds between the headers and the body of each answer, default 0).
 */
import { createServer } from "node:http";
import { hostname } from "node:os";

const delay = Number(process.env["DELAY"] ?? 0);
const server = createServer((request, response) => {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => (bytes += chunk.length));
  request.on("end", () => {
    const { method, url, httpVersion, rawHeaders } = request;
    const body = JSON.stringify({
      pod: process.env["HOSTNAME"] ?? hostname(),
      method,
      url,
      httpVersion,
      rawHeaders,
      bytes,
    });
    const status = Number(/^\/status\/(\d{3})/.exec(url ?? "")?.[1] ?? 200);
    response.writeHead(status, { "content-type": "application/json" });
    if (delay === 0) {
      response.end(`${body}\n`);
    } else {
      response.flushHeaders();
      setTimeout(() => response.end(`${body}\n`), delay);
    }
  });
});
server.keepAliveTimeout = 3_600_000;
server.listen(Number(process.env["PORT"] ?? 8080), process.env["LISTEN"] ?? "0.0.0.0");
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
