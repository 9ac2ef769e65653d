/**
 * Traffic: uses every service of the shop at a steady, modest rate and verifies every answer. Port 9000 tells how it
 * went: `/ready` when every check has succeeded once, `/report` with the counts since then.
 */
import { createServer } from "node:http";

import type { Check } from "./checks/check.ts";
import { grpcChecks } from "./checks/grpc.ts";
import { httpChecks, pageChecks, versions } from "./checks/http.ts";
import { tcpChecks } from "./checks/tcp.ts";
import { websocketChecks } from "./checks/websocket.ts";

const firstChecks: readonly Check[] = [...httpChecks, ...grpcChecks, ...websocketChecks, ...tcpChecks];
const checks: readonly Check[] = [...pageChecks, ...firstChecks];

interface Result {
  total: number;
  failed: number;
  lastError: string;
  running: number;
}

const results = new Map<string, Result>(
  checks.map((check) => [check.name, { total: 0, failed: 0, lastError: "", running: 0 }]),
);
/** What a check waits for before traffic begins. */
const waitingFor = new Map<string, string>(checks.map((check) => [check.name, "not tried yet"]));
let startedAt = 0;

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One after the other, as often as needed: the services may still be starting. */
async function warmUp(check: Check): Promise<void> {
  for (;;) {
    try {
      await check.run();
      waitingFor.delete(check.name);
      return;
    } catch (error) {
      waitingFor.set(check.name, message(error));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function runOnce(check: Check, result: Result): Promise<void> {
  result.running += 1;
  try {
    await check.run();
  } catch (error) {
    result.failed += 1;
    result.lastError = message(error);
    console.error(`${new Date().toISOString()} ${check.name}: ${result.lastError}`);
  }
  result.running -= 1;
  result.total += 1;
}

function drive(check: Check): void {
  const result = results.get(check.name);
  if (result !== undefined) {
    setInterval(() => {
      if (result.running < check.mostAtOnce) {
        void runOnce(check, result);
      }
    }, 1000 / check.rate);
  }
}

const server = createServer((request, response) => {
  const ready = waitingFor.size === 0;
  if (request.url === "/ready") {
    response.writeHead(ready ? 200 : 503).end(JSON.stringify(Object.fromEntries(waitingFor)));
  } else if (request.url === "/report") {
    response.writeHead(200, { "content-type": "application/json" });
    const report = { startedAt, waitingFor: Object.fromEntries(waitingFor), versions };
    response.end(JSON.stringify({ ...report, checks: Object.fromEntries(results) }));
  } else {
    response.writeHead(404).end();
  }
});

server.listen(9000);
process.on("SIGTERM", () => process.exit(0));
await Promise.all(firstChecks.map(warmUp));
await Promise.all(pageChecks.map(warmUp));
versions["v1"] = 0;
versions["v2"] = 0;
startedAt = Date.now();
checks.forEach(drive);
