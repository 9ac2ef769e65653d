/** Decisions about what the application sends. */
import { addressKey, egressKey, serviceKey } from "../../wire/keys.ts";
import type { AddressMessage, PodAddress, ServiceAddress, ServiceMessage } from "../../wire/messages.ts";
import { ports } from "../../wire/sidecar.ts";
import * as actions from "./actions.ts";
import { inRange } from "./address.ts";
import { answered, refused, release, take } from "./balancer.ts";
import { egressDestination, podDestination, serviceDestination } from "./destinations.ts";
import { hasEgress, httpPort, noEgress } from "./egress.ts";
import { need, type Key } from "./keys.ts";
import { mtlsMode, type Destination, type Mesh, type MeshEndpoint } from "./mesh.ts";
import { chooseBackend } from "./route.ts";
import { record, recordTimes } from "./statistics.ts";
import { servicePort } from "./service-ports.ts";

export interface Decision {
  readonly action: number;
  readonly destination: number;
}

const waiting: Decision = { action: actions.wait, destination: actions.none };
const refusal: Decision = { action: actions.refuse, destination: actions.none };
const passing: Decision = { action: actions.direct, destination: actions.none };

function isSidecarPort(port: number): boolean {
  return port >= ports.status && port <= ports.udpIncoming;
}

/** Ports of a pod that its own capture leaves alone: they are the sidecar's, in plain HTTP. */
function isControlPort(port: number): boolean {
  return (
    port === ports.status || port === ports.metrics || port === ports.httpProbes || port === ports.httpsProbes
  );
}

/** An address that no key knows: an unknown Service, or the outside. */
function unknownAddress(mesh: Mesh, address: string): Decision {
  return mtlsMode(mesh) === "strict" || isServiceAddress(mesh, address) ? refusal : passing;
}

function isServiceAddress(mesh: Mesh, address: string): boolean {
  const settings = mesh.settings;
  for (let i = 0; settings !== undefined && i < settings.serviceRanges.length; i++) {
    if (inRange(address, settings.serviceRanges[i]!)) {
      return true;
    }
  }
  return false;
}

/** The egress of this pod; undefined: it has none, or may do without. */
function resolveEgress(mesh: Mesh, waiter: number): Destination | "wait" | undefined {
  if (!hasEgress(mesh)) {
    return undefined;
  }
  const key = need(mesh.keys, egressKey, waiter, mesh.world.now(), false);
  if (key.state === "asked") {
    return "wait";
  }
  return key.value !== undefined || mtlsMode(mesh) === "strict" ? egressDestination(mesh, key) : undefined;
}

function taken(destination: Destination, action: number): Decision {
  destination.references = destination.references + 1;
  return { action, destination: destination.id };
}

/** A connection to where no key leads: requests of HTTP go through the egress, if there is one. */
function leaving(mesh: Mesh, address: string, port: number, waiter: number): Decision {
  const otherwise = unknownAddress(mesh, address);
  const egress = isServiceAddress(mesh, address) ? undefined : resolveEgress(mesh, waiter);
  if (egress === undefined) {
    return otherwise;
  }
  if (egress === "wait") {
    mesh.world.wake();
    return waiting;
  }
  const impatience = otherwise.action === actions.direct && port !== httpPort ? actions.impatient : 0;
  return taken(egress, otherwise.action + actions.egress + impatience);
}

/** Whether nobody of the mesh serves what the destination is made from. */
function isOutside(mesh: Mesh, destination: Destination): boolean {
  const key = mesh.keys.byName[destination.key];
  const message = key === undefined ? undefined : (key.value as Partial<ServiceMessage> | undefined);
  if (message === undefined || message.name === undefined || destination.address !== "") {
    return false;
  }
  const port = servicePort(message as ServiceMessage, destination.port);
  return port !== undefined && port.egress === true;
}

function actionOf(destination: Destination): number {
  switch (destination.protocol) {
    case "http":
      return actions.http;
    case "grpc":
      return actions.grpc;
    default:
      return actions.tcp;
  }
}

function resolveService(
  mesh: Mesh,
  namespace: string,
  name: string,
  port: number,
  waiter: number,
): Destination | "wait" | undefined {
  const key = need(mesh.keys, serviceKey(namespace, name), waiter, mesh.world.now(), false);
  return key.state === "asked" ? "wait" : serviceDestination(mesh, key, port, waiter);
}

/** A headless Service with a route of its own is reached by its pods' addresses, yet routed. */
function resolvePod(
  mesh: Mesh,
  key: Key,
  address: string,
  port: number,
  waiter: number,
): Destination | "wait" {
  const pod = key.value as PodAddress;
  for (let i = 0; i < pod.ports.length; i++) {
    const headless = pod.ports[i]!.headless;
    if (pod.ports[i]!.port === port && headless !== undefined) {
      const routed = resolveService(mesh, headless.namespace, headless.name, headless.port, waiter);
      if (routed !== undefined) {
        return routed;
      }
    }
  }
  return podDestination(mesh, key, address, port);
}

function resolve(
  mesh: Mesh,
  key: Key,
  address: string,
  port: number,
  waiter: number,
): Destination | "wait" | undefined {
  const value = key.value as AddressMessage;
  if (value.kind === "service") {
    const service: ServiceAddress = value;
    return resolveService(mesh, service.namespace, service.name, port, waiter);
  }
  return resolvePod(mesh, key, address, port, waiter);
}

/** What to do with a connection that the application opens to `address` and `port`. */
export function outgoing(mesh: Mesh, address: string, port: number, waiter: number): Decision {
  if (address === mesh.ownAddress && isSidecarPort(port)) {
    return refusal;
  }
  const now = mesh.world.now();
  const settings = need(mesh.keys, mesh.settingsKey, waiter, now, true);
  const key = need(mesh.keys, addressKey(address), waiter, now, false);
  if (settings.state === "asked" || key.state === "asked") {
    mesh.world.wake();
    return waiting;
  }
  if (key.value === undefined) {
    return leaving(mesh, address, port, waiter);
  }
  if ((key.value as AddressMessage).kind === "pod" && isControlPort(port)) {
    return passing;
  }
  const destination = resolve(mesh, key, address, port, waiter);
  if (destination === "wait") {
    mesh.world.wake();
    return waiting;
  }
  if (destination === undefined) {
    return refusal;
  }
  const egress = isOutside(mesh, destination) ? resolveEgress(mesh, waiter) : undefined;
  if (egress === "wait") {
    mesh.world.wake();
    return waiting;
  }
  return egress === undefined
    ? taken(destination, actionOf(destination))
    : taken(egress, actions.refuse + actions.egress);
}

/** The connection that `outgoing` answered with this destination is gone. */
export function outgoingClosed(mesh: Mesh, id: number): void {
  const destination = mesh.destinations[id];
  if (destination !== undefined) {
    destination.references = destination.references - 1;
  }
}

/** An endpoint for a request to the destination, or why there is none. `previous`: the one that just failed, or -1. */
export function choose(mesh: Mesh, id: number, request: unknown, previous: number, now: number): number {
  const destination = mesh.destinations[id];
  if (destination === undefined || (destination.gone && destination.pool.endpoints.length === 0)) {
    return destination !== undefined && destination.key === egressKey ? actions.noEndpoint : actions.unknown;
  }
  const failed = previous < 0 ? undefined : mesh.endpoints[previous];
  let pool = failed === undefined ? undefined : failed.pool;
  // an endpoint that is gone by now says nothing of the backend that was chosen before
  if (pool === undefined && destination.rules.length > 0) {
    const view = request === undefined ? undefined : mesh.world.request(request);
    pool = chooseBackend(destination.rules, view, mesh.world.random);
  }
  pool ??= destination.pool;
  const endpoint = take(pool, mesh.world.random, previous, now);
  return endpoint === undefined ? actions.noEndpoint : endpoint.id;
}

/** The attempt at the endpoint is over without an answer; `cannotConnect`: nothing listened there. */
export function failed(mesh: Mesh, endpointId: number, cannotConnect: boolean, now: number): void {
  const endpoint = mesh.endpoints[endpointId];
  if (endpoint === undefined) {
    return;
  }
  if (cannotConnect) {
    refused(endpoint.pool, endpoint, now);
  } else {
    release(endpoint);
  }
}

function settle(endpoint: MeshEndpoint, status: number, firstByte: number, total: number, now: number): void {
  // without an answer a request says nothing of the endpoint, whoever ended it; a TCP connection that came about does
  if (status === 499 || status === 0 || (firstByte < 0 && status !== 200)) {
    release(endpoint);
    return;
  }
  const sample = endpoint.pool.lastByte || firstByte < 0 ? total : firstByte;
  answered(endpoint.pool, endpoint, sample, now);
}

/** The request is over. `held`: the endpoint still counts it as in flight. Times in microseconds. */
export function finished(
  mesh: Mesh,
  id: number,
  endpointId: number,
  held: boolean,
  status: number,
  connect: number,
  firstByte: number,
  total: number,
  sent: number,
  received: number,
  now: number,
): void {
  const endpoint = mesh.endpoints[endpointId];
  if (endpoint === undefined) {
    const destination = mesh.destinations[id];
    if (destination !== undefined) {
      record(mesh.statistics, destination.edge, status, total, sent, received);
    }
    return;
  }
  if (held) {
    settle(endpoint, status, firstByte, total, now);
  }
  record(mesh.statistics, endpoint.edge, status, total, sent, received);
  recordTimes(endpoint.edge, connect, firstByte);
}

/** A sentence for people about a request that has no endpoint. */
export function reason(mesh: Mesh, id: number, code: number): string {
  const destination = mesh.destinations[id];
  if (code === actions.denied) {
    return "access denied by policy";
  }
  if (destination === undefined) {
    return "the connection names no service of the mesh";
  }
  if (destination.key === egressKey) {
    return noEgress;
  }
  if (code === actions.noEndpoint) {
    return mtlsMode(mesh) === "strict"
      ? `no endpoint with a sidecar is ready for ${destination.title}, and mtls-mode strict allows no other`
      : `no endpoint is ready for ${destination.title}`;
  }
  return `${destination.title} does not exist any more`;
}
