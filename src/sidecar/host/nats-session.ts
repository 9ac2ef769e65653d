/**
 * Client of NATS (client protocol: docs.nats.io, "Client Protocol"; direct get: ADR-31; key-value: ADR-8). It speaks
 * plain NATS to a unix socket of nginx, whose stream server adds mTLS.
 */
import { completeKey, directGetPrefix, keySubjectPrefix } from "../../wire/keys.ts";
import { askAgain, need } from "../logic/keys.ts";
import { type Nats, wake } from "./nats.ts";
import { readMessage } from "./nats-messages.ts";

const cjson = require("cjson.safe");

/** Seconds between two pings, so that a dead connection is noticed. */
const pingInterval = 20;
function ask(nats: Nats, name: string): void {
  const key = nats.mesh.keys.byName[name];
  if (key === undefined) {
    return;
  }
  let number = nats.numbers[name];
  if (number === undefined) {
    number = nats.nextNumber;
    nats.nextNumber = number + 1;
    nats.numbers[name] = number;
    nats.queue.push(`SUB ${keySubjectPrefix}${name} ${number}\r\n`);
  }
  nats.followed[`${number}`] = key;
  nats.queue.push(`PUB ${directGetPrefix}${name} ${nats.inbox}.${number} 0\r\n\r\n`);
}

function askAll(nats: Nats): void {
  const names = nats.mesh.keys.toAsk;
  for (let i = 0; i < names.length; i++) {
    ask(nats, names[i]!);
  }
  while (names.length > 0) {
    names.pop();
  }
}

function moveAll(from: string[], to: string[]): void {
  for (let i = 0; i < from.length; i++) {
    to.push(from[i]!);
  }
  while (from.length > 0) {
    from.pop();
  }
}

function read(nats: Nats, socket: TcpSocket): string {
  for (;;) {
    const [line, error] = socket.receive("*l");
    if (line === undefined) {
      return error ?? "closed";
    }
    const [verb] = string.match(line, "^([%+%-%u]+)");
    if (verb === "MSG" || verb === "HMSG") {
      const problem = readMessage(nats, socket, line);
      if (problem !== undefined) {
        return problem;
      }
    } else if (verb === "PING") {
      nats.queue.push("PONG\r\n");
      wake(nats);
    } else if (verb === "PONG") {
      nats.pongMissing = false;
    } else if (verb === "-ERR") {
      const [permission] = string.find(line, "Permissions Violation", 1, true);
      ngx.log(ngx.ERR, `mesh: NATS says: ${line}`);
      if (permission === undefined) {
        return line;
      }
    }
  }
}

/** Writes what is queued, and a ping now and then; returns why the connection is broken. */
function write(nats: Nats, socket: TcpSocket): string {
  let pingAt = ngx.now() + pingInterval;
  while (!ngx.worker.exiting()) {
    if (ngx.now() >= nats.againAt) {
      moveAll(nats.again, nats.mesh.keys.toAsk);
    }
    askAll(nats);
    if (ngx.now() >= pingAt) {
      if (nats.pongMissing) {
        return `no answer to a ping for ${pingInterval} s`;
      }
      // also while there is much to write: the server answers nothing else to that
      nats.pongMissing = true;
      pingAt = ngx.now() + pingInterval;
      nats.queue.push("PING\r\n");
    }
    if (nats.queue.length > 0) {
      const data = table.concat(nats.queue);
      while (nats.queue.length > 0) {
        nats.queue.pop();
      }
      const [sent, error] = socket.send(data);
      if (sent === undefined) {
        return error ?? "cannot write";
      }
    }
    const next = nats.again.length > 0 ? math.min(pingAt, nats.againAt) : pingAt;
    nats.work.wait(math.max(next - ngx.now(), 0.01));
  }
  return "the worker ends";
}

function greet(nats: Nats, socket: TcpSocket): string | undefined {
  const [info, error] = socket.receive("*l");
  if (info === undefined) {
    return error ?? "closed";
  }
  const hello = cjson.encode({
    verbose: false,
    pedantic: false,
    tls_required: false,
    lang: "lua",
    version: "1",
    protocol: 1,
    headers: true,
    no_responders: true,
    name: nats.name,
  });
  socket.send(`CONNECT ${hello}\r\nPING\r\n`);
  const [pong, pongError] = socket.receive("*l");
  if (pong === undefined) {
    return pongError ?? "closed";
  }
  const [refusal] = string.match(pong, "^%-ERR (.*)$");
  return refusal;
}

function session(nats: Nats): string {
  const socket = ngx.socket.tcp();
  socket.settimeouts(2000, 5000, 10_000);
  const [connected, connectError] = socket.connect("unix:/run/nginx-mesh/nats.sock");
  if (connected === undefined) {
    return connectError ?? "cannot connect";
  }
  const refusal = greet(nats, socket);
  if (refusal !== undefined) {
    socket.close();
    return refusal;
  }
  socket.settimeouts(2000, 5000, 3 * pingInterval * 1000);
  nats.state.state = "connected";
  nats.state.since = ngx.time();
  nats.state.error = "";
  nats.pongMissing = false;
  begin(nats);
  // neither can close the socket while the other waits for it
  const writer = ngx.thread.spawn(() => write(nats, socket));
  const reader = ngx.thread.spawn(() => read(nats, socket));
  const [, end] = ngx.thread.wait(reader, writer);
  ngx.thread.kill(reader);
  ngx.thread.kill(writer);
  socket.close();
  return `${end as string}`;
}

/** How the next connection ended; an error in what it does ends only it. */
function connectOnce(nats: Nats, locate: () => string | undefined): string {
  try {
    return locate() ?? session(nats);
  } catch (error) {
    return `${error as string}`;
  }
}

/** A new connection knows nothing of the subscriptions of the one before. */
function begin(nats: Nats): void {
  while (nats.queue.length > 0) {
    nats.queue.pop();
  }
  for (const name in nats.numbers) {
    delete nats.numbers[name];
  }
  for (const number in nats.followed) {
    delete nats.followed[number];
  }
  while (nats.again.length > 0) {
    nats.again.pop();
  }
  nats.queue.push(`SUB ${nats.inbox}.* 1\r\n`);
  nats.mesh.keys.complete = false;
  need(nats.mesh.keys, completeKey, -1, ngx.now(), true);
  askAgain(nats.mesh.keys);
}

/**
 * Keeps a connection to NATS as long as the worker runs. `ready`: whether a connection can succeed (an SVID is there);
 * `locate`: sees to it that the next one goes to the server, or says why it cannot.
 */
export function followNats(nats: Nats, ready: () => boolean, locate: () => string | undefined): void {
  let pause = 0.02;
  while (!ngx.worker.exiting()) {
    if (ready()) {
      const end = connectOnce(nats, locate);
      if (nats.state.state === "connected") {
        pause = 0.02;
        nats.state.reconnects = nats.state.reconnects + 1;
        nats.state.since = ngx.time();
      }
      nats.state.state = "connecting";
      nats.state.error = end;
      ngx.log(ngx.WARN, `mesh: NATS connection: ${end}; trying again in ${pause} s`);
    }
    // many sidecars lose NATS at once: they do not come back at once
    ngx.sleep(pause * (0.5 + math.random()));
    pause = pause * 2 > 2 ? 2 : pause * 2;
  }
}
