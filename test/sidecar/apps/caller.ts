/**
 * A caller without a sidecar, of e2e/apps/anything.ts at the address of argument 1, whose sidecar drains meanwhile. Ends when its
 * connections have ended, and prints what it saw of each as JSON.
 */
import { connect } from "node:http2";
import { Agent, get, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const address = process.argv[2]!;
const started = Date.now();
const elapsed = (): number => Date.now() - started;

async function ask(agent: Agent, path: string): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  get(`http://${address}:8080${path}`, { agent }, resolve).on("error", reject);
  const response = await promise;
  response.resume();
  return response;
}

/** A connection that does nothing when the drain begins: milliseconds from the answer until it is closed. */
async function idle(): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { socket, statusCode } = await ask(agent, "/");
  if (statusCode !== 200) {
    throw new Error(`idle: status ${statusCode}`);
  }
  await new Promise((resolve) => socket.once("close", resolve));
  return elapsed();
}

/** What the server says of the connection, for a request that is under way when the drain begins, and for one after. */
async function busy(path: string): Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { statusCode, headers } = await ask(agent, path);
  return `${statusCode} ${headers.connection}`;
}

/** HTTP/2: requests until the server says GOAWAY. */
async function http2(): Promise<{
  readonly requests: number;
  readonly statuses: string;
  readonly code: number;
}> {
  const session = connect(`http://${address}:50051`);
  let code: number | undefined;
  session.on("goaway", (said) => (code = said));
  const statuses = new Set<number>();
  let requests = 0;
  while (code === undefined && elapsed() < 10_000) {
    const stream = session.request({ ":method": "POST", ":path": "/", "content-type": "application/grpc" });
    stream.end();
    stream.on("response", (headers) => statuses.add(headers[":status"]!));
    stream.resume();
    await new Promise((resolve) => stream.once("close", resolve));
    requests++;
    await sleep(100);
  }
  session.close();
  return { requests, statuses: [...statuses].join(), code: code ?? -1 };
}

const [idleClosedAfter, underWay, session] = await Promise.all([idle(), busy("/slow?ms=2000"), http2()]);
const later = await busy("/");
console.log(JSON.stringify({ idleClosedAfter, underWay, later, session }));
