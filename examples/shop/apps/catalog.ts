/** Catalog: items as JSON over HTTP/1.1. `VERSION` says which of the two versions this is. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import { callerHeader, callerOf } from "./caller.ts";

const version = process.env["VERSION"] ?? "v1";
const names = ["kettle", "lamp", "chair", "table", "clock", "radio", "mirror", "carpet"];

/** Both versions have the same items. */
function itemName(id: number): string {
  return `${names[id % names.length]} ${id}`;
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "x-catalog-version": version });
  response.end(JSON.stringify({ version, ...body }));
}

/** Reads the body as it comes, so that its size does not matter. */
async function digest(request: IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of request) {
    hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}

const server = createServer((request, response) => {
  const caller = callerOf(request.headers[callerHeader]);
  const item = /^\/items\/(\d{1,9})$/.exec(request.url ?? "");
  if (request.url === "/healthz") {
    answer(response, 200, {});
  } else if (item !== null) {
    answer(response, 200, { caller, id: Number(item[1]), name: itemName(Number(item[1])) });
  } else if (request.url === "/digest" && request.method === "POST") {
    digest(request).then(
      (sha256) => answer(response, 200, { caller, sha256 }),
      () => response.destroy(),
    );
  } else {
    answer(response, 404, { error: "no such page" });
  }
});

// Longer than the idle time of any client, so that a kept connection is not closed under a request.
server.keepAliveTimeout = 600_000;
server.listen(8080);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
