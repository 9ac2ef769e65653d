/**
 * A client that sends GET requests at a steady rate over several kept-alive connections and remembers every failure.
 * Environment: TARGET (URL), RATE (requests a second), CONNECTIONS, FRESH (1: a new connection for each request), REPEAT (1: a kept
 * connection that the server closed when the request was on its way is no failure, the request goes out again, as clients do). Its
 * report is at port 9000: GET gives it as it is;
 * POST begins a new one, and gives the old one when all of its requests have ended.
 */
import { Agent, createServer, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const target = process.env["TARGET"] ?? "http://web/";
const rate = Number(process.env["RATE"] ?? 100);
const connections = Number(process.env["CONNECTIONS"] ?? 4);
const keepAlive = process.env["FRESH"] !== "1";
const repeat = process.env["REPEAT"] === "1";
const patience = 10_000;

interface Report {
  requests: number;
  /** Requests that have not ended yet. */
  pending: number;
  /** Answers that were not 200, and requests without one. */
  failures: { at: number; what: string }[];
  /** Requests by the pod that answered. */
  pods: Record<string, number>;
  /** Milliseconds. */
  longest: number;
}

/** Answers of the last moments, oldest first. */
let recent: { at: number; pod: string }[] = [];
const moment = 300;

function recentPods(): string[] {
  recent = recent.filter(({ at }) => Date.now() - at < moment);
  return [...new Set(recent.map(({ pod }) => pod))].sort();
}

const fresh = (): Report => ({ requests: 0, pending: 0, failures: [], pods: {}, longest: 0 });
let report = fresh();

function ask(agent: Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(target, { agent, timeout: patience }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${patience / 1000} s`)));
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (repeat && request.reusedSocket && error.code === "ECONNRESET") {
        ask(agent).then(resolve, reject);
      } else {
        reject(error);
      }
    });
  });
}

async function once(agent: Agent): Promise<void> {
  const current = report;
  const at = Date.now();
  current.requests += 1;
  current.pending += 1;
  await judge(agent, current, at);
  current.pending -= 1;
  current.longest = Math.max(current.longest, Date.now() - at);
}

async function judge(agent: Agent, current: Report, at: number): Promise<void> {
  try {
    const { status, body } = await ask(agent);
    if (status !== 200) {
      current.failures.push({ at, what: `status ${status}: ${body.slice(0, 200)}` });
      return;
    }
    const { pod } = JSON.parse(body) as { pod: string };
    recent.push({ at, pod });
    current.pods[pod] = (current.pods[pod] ?? 0) + 1;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    current.failures.push({ at, what: `${code ?? "error"}: ${message}` });
  }
}

async function connection(index: number): Promise<void> {
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  const pause = (1000 * connections) / rate;
  let next = Date.now() + (pause * index) / connections;
  for (;;) {
    await sleep(Math.max(0, next - Date.now()));
    next = Math.max(next + pause, Date.now());
    await once(agent);
  }
}

async function ended(asked: Report): Promise<void> {
  while (asked.pending > 0) {
    await sleep(10);
  }
}

createServer((request, response) => {
  const asked = report;
  const answer = (): unknown =>
    response.end(JSON.stringify({ ...asked, recent: recentPods(), latest: recent.slice(-8) }));
  if (request.method === "POST") {
    report = fresh();
    void ended(asked).then(answer);
  } else {
    answer();
  }
}).listen(9000);
for (let index = 0; index < connections; index += 1) {
  void connection(index);
}
