/** Everything that one worker knows and decides with. The parts that change it are in the files beside this one. */
import type {
  LbMethod,
  MtlsMode,
  Protocol,
  WorkloadMessage,
  WorkloadReference,
} from "../../wire/messages.ts";
import type { BalancedEndpoint, Pool } from "./methods.ts";
import { createKeys, type Keys } from "./keys.ts";
import type { RequestView, RouteRule } from "./route.ts";
import { createStatistics, type Edge, type Statistics } from "./statistics.ts";

/**
 * What the logic needs of the world; `host` gives it in nginx, tests give their own.
 * @noSelf
 */
export interface World {
  /** In [0, 1). */
  random(): number;
  /** Seconds since the epoch, with milliseconds. */
  now(): number;
  /** A new endpoint of the module; undefined when the address is none. */
  endpoint(address: string, port: number, identity: string): number | undefined;
  release(endpoint: number): void;
  resume(waiter: number): void;
  /** Whoever talks to NATS has something to do. */
  wake(): void;
  request(pointer: unknown): RequestView;
  /** Own settings came or changed: what nginx itself has to do with them. */
  configure(settings: WorkloadMessage): void;
  log(level: "info" | "warn" | "error", message: string): void;
}

export interface MeshEndpoint extends BalancedEndpoint {
  readonly address: string;
  readonly port: number;
  readonly identity: string;
  readonly pod: string;
  readonly workload: WorkloadReference;
  readonly pool: MeshPool;
  readonly edge: Edge;
}

/** Endpoints of one port of one Service, or a pod's address and port. */
export interface MeshPool extends Pool<MeshEndpoint> {
  /** For people: `service shop/web port 80`. */
  readonly title: string;
  readonly service: string;
  readonly protocol: Protocol;
  /** `least_time` by first byte, or by last byte. */
  lastByte: boolean;
}

export interface Destination {
  readonly id: number;
  readonly title: string;
  readonly protocol: Protocol;
  /** The key it is made from; `address.…` or `service.…`. */
  readonly key: string;
  readonly port: number;
  /** Of a pod; empty for a Service. */
  readonly address: string;
  pool: MeshPool;
  /** Empty: everything goes to `pool`. */
  rules: readonly RouteRule<MeshPool>[];
  /** The key has no such port any more. */
  gone: boolean;
  /** Connections that may still send requests to it. */
  references: number;
  readonly edge: Edge;
}

/** Callers of one port, at one address of the pod, with one identity. */
export interface Caller {
  readonly id: number;
  readonly port: number;
  readonly endpoint: number;
  readonly edge: Edge;
  references: number;
}

export interface Mesh {
  readonly world: World;
  readonly keys: Keys;
  readonly statistics: Statistics;
  /** Own settings; undefined until the first answer. */
  settings: WorkloadMessage | undefined;
  readonly settingsKey: string;
  /** Canonical text. */
  readonly ownAddress: string;
  /** Protocol of each own port that is known. */
  ownPorts: Record<number, Protocol>;
  readonly destinations: Record<number, Destination>;
  /** `key port` → destination. */
  readonly byTarget: Record<string, Destination>;
  nextDestination: number;
  /** `key port protocol` → pool. */
  readonly pools: Record<string, MeshPool>;
  readonly endpoints: Record<number, MeshEndpoint>;
  readonly callers: Record<number, Caller>;
  /** `address port protocol identity` → caller. */
  readonly callerOf: Record<string, Caller>;
  nextCaller: number;
  /** Own address and port → endpoint of the application. */
  readonly applications: Record<string, number>;
  /** Since when everything that came from NATS was in force, for the status. */
  changedAt: number;
}

export function createMesh(world: World, settingsKey: string, ownAddress: string): Mesh {
  return {
    world,
    keys: createKeys(),
    statistics: createStatistics(),
    settings: undefined,
    settingsKey,
    ownAddress,
    ownPorts: {},
    destinations: {},
    byTarget: {},
    nextDestination: 0,
    pools: {},
    endpoints: {},
    callers: {},
    callerOf: {},
    nextCaller: 0,
    applications: {},
    changedAt: 0,
  };
}

/** Until its own settings are known a sidecar is strict: it must not open what may be meant to be closed. */
export function mtlsMode(mesh: Mesh): MtlsMode {
  return mesh.settings === undefined ? "strict" : mesh.settings.mtlsMode;
}

export function defaultMethod(mesh: Mesh): LbMethod {
  return mesh.settings === undefined ? "least_time" : mesh.settings.balancing;
}
