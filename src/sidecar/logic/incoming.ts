/** Decisions about what the application receives. */
import { addressKey } from "../../wire/keys.ts";
import type { PodAddress, Protocol } from "../../wire/messages.ts";
import { ports } from "../../wire/sidecar.ts";
import * as actions from "./actions.ts";
import { forgetIdle, remembered } from "./housekeeping.ts";
import { need, type Key } from "./keys.ts";
import { mtlsMode, type Caller, type Mesh } from "./mesh.ts";
import { findEdge, record } from "./statistics.ts";

export interface Admission {
  readonly action: number;
  /** SPIFFE ID that belongs to the source address, `nobody`, or undefined when nothing is known of the address. */
  readonly expected: string | undefined;
}

/** What is expected of a pod that has no identity: no SPIFFE ID is equal to it, and it is what the log then says. */
export const nobody = "no identity: the pod there speaks plain text";

const waiting: Admission = { action: actions.wait, expected: undefined };

function plainAction(protocol: Protocol): number {
  switch (protocol) {
    case "http":
      return actions.http;
    case "grpc":
      return actions.grpc;
    default:
      return actions.tcp;
  }
}

function sourcePod(key: Key): PodAddress | undefined {
  const value = key.value as PodAddress | undefined;
  return value !== undefined && value.kind === "pod" ? value : undefined;
}

/**
 * What to do with a connection from `source` to the pod's `port`. Whether mesh TLS comes is seen from the first
 * bytes; only where the server may speak first are they not waited for, unless the source is known to start TLS.
 */
export function incoming(mesh: Mesh, source: string, port: number, waiter: number): Admission {
  const now = mesh.world.now();
  const settings = need(mesh.keys, mesh.settingsKey, waiter, now, true);
  const key = need(mesh.keys, addressKey(source), waiter, now, false);
  if (settings.state === "asked" || key.state === "asked") {
    mesh.world.wake();
    return waiting;
  }
  const pod = sourcePod(key);
  if (pod !== undefined && pod.ingress !== undefined) {
    return fromIngress(mesh, pod.ingress, port);
  }
  const expected = pod === undefined ? undefined : pod.identity === "" ? nobody : pod.identity;
  if (mtlsMode(mesh) === "strict") {
    return { action: actions.peek, expected };
  }
  const protocol = mesh.ownPorts[port] ?? "tcp";
  const plain = plainAction(protocol);
  // in mode `off` everybody is told to speak plain text to this pod
  const startsTls = pod !== undefined && pod.meshed && mtlsMode(mesh) !== "off";
  const serverMaySpeakFirst = plain === actions.tcp;
  if (serverMaySpeakFirst && !startsTls) {
    return { action: plain, expected };
  }
  return { action: plain + actions.peek, expected };
}

/**
 * An ingress controller speaks TLS with a server name of its own, or plain text. Where the server may speak first, it
 * is given a moment only: what it sends to a TCP port is mostly plain.
 */
function fromIngress(mesh: Mesh, identity: string, port: number): Admission {
  const kind = plainAction(mesh.ownPorts[port] ?? "tcp");
  const action = actions.peek + kind * actions.ingress;
  if (mtlsMode(mesh) === "strict") {
    return { action, expected: identity };
  }
  const impatience = kind === actions.tcp ? actions.impatient : 0;
  return { action: action + kind + impatience, expected: identity };
}

function application(mesh: Mesh, address: string, port: number): number | undefined {
  const target = `${address} ${port}`;
  let endpoint = mesh.applications[target];
  if (endpoint === undefined) {
    endpoint = mesh.world.endpoint(address, port, "");
    if (endpoint !== undefined) {
      mesh.applications[target] = endpoint;
    }
  }
  return endpoint;
}

/** Who calls the port; answered once a connection. `identity` is empty for plain text. -1: not a port of the pod. */
export function peer(mesh: Mesh, address: string, port: number, identity: string): number {
  if (port >= ports.status && port <= ports.udpIncoming) {
    return actions.none;
  }
  const protocol = mesh.ownPorts[port] ?? "tcp";
  const name = `${address} ${port} ${protocol} ${identity}`;
  let caller = mesh.callerOf[name];
  if (caller === undefined) {
    // not only now and then: a client can try all ports before
    if (mesh.nextCaller % remembered === 0) {
      forgetIdle(mesh);
    }
    const endpoint = application(mesh, address, port);
    if (endpoint === undefined) {
      return actions.none;
    }
    caller = newCaller(mesh, name, port, protocol, identity, endpoint);
  }
  caller.references = caller.references + 1;
  return caller.id;
}

function newCaller(
  mesh: Mesh,
  name: string,
  port: number,
  protocol: Protocol,
  identity: string,
  endpoint: number,
): Caller {
  const id = mesh.nextCaller;
  mesh.nextCaller = id + 1;
  const edge = findEdge(mesh.statistics, {
    direction: "from",
    protocol,
    identity,
    mtls: identity !== "",
    upstream: `application port ${port}`,
    server: `${port}`,
  });
  edge.references = edge.references + 1;
  const caller: Caller = { id, port, endpoint, edge, references: 0 };
  mesh.callers[id] = caller;
  mesh.callerOf[name] = caller;
  return caller;
}

/** Whether the caller's request may go to the application: its endpoint, or why not. */
export function admit(mesh: Mesh, id: number): number {
  const caller = mesh.callers[id];
  if (caller === undefined) {
    return actions.unknown;
  }
  // a connection in plain text that is older than mode `strict`
  return !caller.edge.mtls && mtlsMode(mesh) === "strict" ? actions.denied : caller.endpoint;
}

export function served(
  mesh: Mesh,
  id: number,
  status: number,
  total: number,
  sent: number,
  received: number,
): void {
  const caller = mesh.callers[id];
  if (caller !== undefined) {
    record(mesh.statistics, caller.edge, status, total, sent, received);
  }
}

/** A connection that `peer` answered is gone. */
export function incomingClosed(mesh: Mesh, id: number): void {
  const caller = mesh.callers[id];
  if (caller !== undefined) {
    caller.references = caller.references - 1;
  }
}
