/** Web: a page made of what the other services say. An item's name comes from the catalog, its price from pricing, and the
 * number of its visitors from the cache. */
import { Agent, createServer, get, type ServerResponse } from "node:http";

import { credentials } from "@grpc/grpc-js";

import { callerHeader, callerOf } from "./caller.ts";
import { type Price, Pricing } from "./pricing-service.ts";
import { connectRedis } from "./redis-client.ts";

const agent = new Agent({ keepAlive: true, maxSockets: 32 });
const pricing = new Pricing("pricing:50051", credentials.createInsecure());
const timeout = 5_000;

interface Item {
  readonly version: string;
  readonly caller: string;
  readonly name: string;
}

function item(id: number): Promise<Item> {
  return new Promise((resolve, reject) => {
    const request = get(`http://catalog/items/${id}`, { agent, timeout }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () =>
        response.statusCode === 200
          ? resolve(JSON.parse(text) as Item)
          : reject(new Error(`catalog answers ${response.statusCode}: ${text.trim()}`)),
      );
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("catalog does not answer")));
    request.on("error", reject);
  });
}

function price(id: number): Promise<Price> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + timeout;
    pricing["Quote"]?.({ id }, { deadline }, (error: Error | null, answer: Price) =>
      error === null ? resolve(answer) : reject(new Error(`pricing: ${error.message}`)),
    );
  });
}

/** Each cache counts for itself, so the number says only that the item was seen. */
async function visits(id: number): Promise<number> {
  const redis = connectRedis("cache", 6379);
  try {
    return Number(await redis.command("INCR", `visits:${id}`));
  } finally {
    redis.close();
  }
}

async function page(id: number, caller: string): Promise<object> {
  const [found, quote, seen] = await Promise.all([item(id), price(id), visits(id)]);
  return {
    caller,
    id,
    name: found.name,
    cents: quote.cents,
    visits: seen,
    catalogVersion: found.version,
    callerOfCatalog: found.caller,
    callerOfPricing: quote.caller,
  };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

const server = createServer((request, response) => {
  const match = /^\/pages\/(\d{1,9})$/.exec(request.url ?? "");
  if (request.url === "/healthz") {
    answer(response, 200, {});
  } else if (match === null) {
    answer(response, 404, { error: "no such page" });
  } else {
    page(Number(match[1]), callerOf(request.headers[callerHeader])).then(
      (body) => answer(response, 200, body),
      (error: Error) => answer(response, 502, { error: error.message }),
    );
  }
});

server.keepAliveTimeout = 600_000;
server.listen(8080);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
