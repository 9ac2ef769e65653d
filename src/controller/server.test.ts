import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import type { Server } from "node:http";
import { servePort } from "./server.ts";

let server: Server;

before(async () => {
  server = await servePort("127.0.0.1", 0, [
    { path: "/known", answer: () => ({ status: 200, body: { known: true } }) },
    {
      path: "/broken",
      answer: () => {
        throw new Error("broken");
      },
    },
  ]);
});

after(() => {
  server.close();
  server.closeAllConnections();
});

/** The status line of the answer to a request as it is. */
async function statusOf(request: string): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.end(`${request}\r\nHost: x\r\nConnection: close\r\n\r\n`);
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  await once(socket, "close");
  return text.split("\r\n")[0]!.replace("HTTP/1.1 ", "");
}

const requests: readonly (readonly [string, string])[] = [
  ["GET /known HTTP/1.1", "200 OK"],
  ["GET /known/below?x=1 HTTP/1.1", "200 OK"],
  ["GET /knownnot HTTP/1.1", "404 Not Found"],
  ["POST /known HTTP/1.1", "405 Method Not Allowed"],
  ["GET /broken HTTP/1.1", "500 Internal Server Error"],
  ["GET // HTTP/1.1", "400 Bad Request"],
  ["GET //:0 HTTP/1.1", "400 Bad Request"],
  ["GET http://a:99999/ HTTP/1.1", "400 Bad Request"],
];

for (const [request, status] of requests) {
  test(`${request}: ${status}`, async () => {
    assert.equal(await statusOf(request), status);
  });
}
