/** Notifications: a WebSocket server that says who is there and answers every message with its number. */
import { createServer } from "node:http";

import { WebSocketServer } from "ws";

import { callerHeader, callerOf } from "./caller.ts";

const server = createServer((request, response) => {
  response.writeHead(request.url === "/healthz" ? 200 : 404).end();
});

const sockets = new WebSocketServer({ server, path: "/notifications", maxPayload: 1024 * 1024 });
sockets.on("connection", (socket, request) => {
  let count = 0;
  socket.send(JSON.stringify({ caller: callerOf(request.headers[callerHeader]) }));
  socket.on("message", (data) => {
    count += 1;
    socket.send(JSON.stringify({ count, text: (data as Buffer).toString() }));
  });
  socket.on("error", () => socket.terminate());
});

server.listen(8080);
process.on("SIGTERM", () => {
  for (const socket of sockets.clients) {
    socket.close(1001);
  }
  server.close(() => process.exit(0));
});
