/** The world of the sidecar's logic without nginx and NATS: it writes down what it is told, and its clock is set by hand. */
import { completeKey, workloadKey } from "../../src/wire/keys.ts";
import type { WorkloadMessage } from "../../src/wire/messages.ts";
import * as actions from "../../src/sidecar/logic/actions.ts";
import { need } from "../../src/sidecar/logic/keys.ts";
import { createMesh, type Destination, type Mesh, type World } from "../../src/sidecar/logic/mesh.ts";
import { outgoing, type Decision } from "../../src/sidecar/logic/outgoing.ts";
import type { RequestView } from "../../src/sidecar/logic/route.ts";
import { absent, completeness, present } from "../../src/sidecar/logic/settle.ts";
import { workloadMessage } from "./messages.ts";
import { seeded } from "./random.ts";

export interface EndpointRecord {
  readonly address: string;
  readonly port: number;
  readonly identity: string;
}

export interface TestWorld extends World {
  /** Seconds. */
  time: number;
  wakes: number;
  readonly resumed: number[];
  readonly logged: string[];
  readonly configured: WorkloadMessage[];
  /** Endpoints that were made and not released. */
  readonly live: Map<number, EndpointRecord>;
}

/** `request` takes a plain object for the request's pointer. */
export interface PlainRequest {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function viewOf(request: PlainRequest): RequestView {
  return {
    method: () => request.method ?? "GET",
    path: () => request.path ?? "/",
    header: (name) => request.headers?.[name],
    matches: (value, expression) => new RegExp(`^(?:${expression})$`).test(value),
  };
}

export function createTestWorld(seed = 1): TestWorld {
  const live = new Map<number, EndpointRecord>();
  const random = seeded(seed);
  let next = 100;
  const world: TestWorld = {
    time: 1000,
    wakes: 0,
    resumed: [],
    logged: [],
    configured: [],
    live,
    random,
    now: () => world.time,
    endpoint(address, port, identity) {
      if (!/^(\d+\.\d+\.\d+\.\d+|[0-9a-f]{32})$/.test(address)) {
        return undefined;
      }
      live.set(next, { address, port, identity });
      return next++;
    },
    release(endpoint) {
      if (!live.delete(endpoint)) {
        throw new Error(`endpoint ${endpoint} released though it is not there`);
      }
    },
    resume: (waiter) => void world.resumed.push(waiter),
    wake: () => void world.wakes++,
    request: (pointer) => viewOf(pointer as PlainRequest),
    configure: (settings) => void world.configured.push(settings),
    log: (level, message) => void world.logged.push(`${level}: ${message}`),
  };
  return world;
}

/** What is in the bucket, by key. */
export type Bucket = Record<string, unknown>;

/** A mesh that is connected to a complete bucket. */
export function createTestMesh(world: TestWorld, settingsKey: string, ownAddress: string): Mesh {
  const mesh = createMesh(world, settingsKey, ownAddress);
  completeness(mesh, need(mesh.keys, completeKey, -1, world.time, true), true);
  mesh.keys.toAsk.length = 0;
  return mesh;
}

/** Answers what was asked, and what is asked because of the answers. */
export function answer(mesh: Mesh, bucket: Bucket): void {
  while (mesh.keys.toAsk.length > 0) {
    const key = mesh.keys.byName[mesh.keys.toAsk.shift()!];
    if (key === undefined || key.name === completeKey) {
      continue;
    }
    const value = bucket[key.name];
    if (value === undefined) {
      absent(mesh, key, false, "answer");
    } else {
      present(mesh, key, value, "answer");
    }
  }
}

/** A change of the bucket, which those who follow the key are told. */
export function change(mesh: Mesh, bucket: Bucket, name: string, value: unknown): void {
  if (value === undefined) {
    delete bucket[name];
  } else {
    bucket[name] = value;
  }
  const key = mesh.keys.byName[name];
  if (key !== undefined && value === undefined) {
    absent(mesh, key, true, "message");
  } else if (key !== undefined) {
    present(mesh, key, value, "message");
  }
  answer(mesh, bucket);
}

export const ownAddress = "10.0.0.1";
export const settingsKey = workloadKey("shop", "deployment", "client");

export interface Scene {
  readonly world: TestWorld;
  readonly mesh: Mesh;
  readonly bucket: Bucket;
}

/** A sidecar whose settings are in the bucket beside the given keys. */
export function createScene(bucket: Bucket, settings: Partial<WorkloadMessage> = {}): Scene {
  const world = createTestWorld();
  const mesh = createTestMesh(world, settingsKey, ownAddress);
  return { world, mesh, bucket: { [settingsKey]: workloadMessage(settings), ...bucket } };
}

/** Calls `decide` as the module does: again when the waiter is told, until it does not say "wait". */
export function settled<D extends { readonly action: number }>(
  { world, mesh, bucket }: Scene,
  decide: (waiter: number) => D,
): D {
  const waiter = 7;
  for (let turn = 0; turn < 10; turn++) {
    const decision = decide(waiter);
    if (decision.action !== actions.wait) {
      return decision;
    }
    const told = world.resumed.length;
    answer(mesh, bucket);
    if (world.resumed.length === told) {
      throw new Error("the connection waits and nobody will tell it");
    }
  }
  throw new Error("the connection waits without end");
}

/** The decision about a connection of the application. */
export function connect(scene: Scene, address: string, port: number): Decision {
  return settled(scene, (waiter) => outgoing(scene.mesh, address, port, waiter));
}

/** The destination of a connection that the mesh takes. */
export function destinationOf(scene: Scene, address: string, port: number): Destination {
  const { destination } = connect(scene, address, port);
  const found = scene.mesh.destinations[destination];
  if (found === undefined) {
    throw new Error(`${address}:${port} has no destination`);
  }
  return found;
}
