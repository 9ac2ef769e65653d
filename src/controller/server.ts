/** The controller's HTTP interface for the tools: JSON, by GET alone. */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { Route } from "../metrics/routes.ts";

function answer(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

function find(routes: readonly Route[], path: string): Route | undefined {
  return routes.find((route) => path === route.path || path.startsWith(`${route.path}/`));
}

export function answerRoutes(routes: readonly Route[]): RequestListener {
  return (request, response) => {
    const url = URL.parse(request.url ?? "/", "http://localhost");
    const route = url === null ? undefined : find(routes, url.pathname);
    if (request.method !== "GET") {
      answer(response, 405, { message: "only GET is understood" });
    } else if (url === null) {
      answer(response, 400, { message: "the request's target is no URL" });
    } else if (route === undefined) {
      answer(response, 404, { message: `there is no ${url.pathname}` });
    } else {
      try {
        const reply = route.answer(url);
        answer(response, reply.status, reply.body);
      } catch (error) {
        answer(response, 500, { message: (error as Error).message });
      }
    }
  };
}

/** Listens at a unix socket that only its owner can open; throws when it cannot be made. */
export async function serve(socketPath: string, routes: readonly Route[]): Promise<Server> {
  rmSync(socketPath, { force: true });
  const server = createServer(answerRoutes(routes));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  chmodSync(socketPath, 0o600);
  return server;
}

/** Listens at an address; throws when it cannot be had. */
export async function servePort(host: string, port: number, routes: readonly Route[]): Promise<Server> {
  const server = createServer(answerRoutes(routes));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, resolve);
  });
  return server;
}
