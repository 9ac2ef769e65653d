/**
 * Keeps the bucket equal to the newest configuration. Level-triggered: after each connect it reads what the bucket has
 * and writes the difference, so a NATS that comes back empty is filled again, and a controller that restarts writes
 * only what changed meanwhile.
 */
import { type KV, Kvm } from "@nats-io/kv";
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { bucket, completeKey } from "../wire/keys.ts";
import { difference } from "./difference.ts";

/** Puts that may be under way at once. */
const parallel = 64;
const retryMilliseconds = 250;
const requestTimeout = 5_000;

export interface PublisherState {
  /** Version of the configuration that the bucket has; empty before the first. */
  readonly version: string;
  /** Milliseconds since 1970; 0: never. */
  readonly publishedAt: number;
  readonly written: number;
  readonly removed: number;
  /** Empty: none. */
  readonly error: string;
}

export interface Publisher {
  /** The newest configuration; an older one that is not written yet is skipped. */
  publish(configuration: { readonly keys: ReadonlyMap<string, string>; readonly version: string }): void;
  /** The connection is new: the bucket must be read again. */
  reconnected(): void;
  state(): PublisherState;
  close(): Promise<void>;
}

export interface PublisherOptions {
  readonly connection: NatsConnection;
  readonly now: () => number;
  readonly onError: (error: Error) => void;
}

async function openBucket(connection: NatsConnection): Promise<KV> {
  // the check of the server's version and of the account needs rights that the controller does not have
  const kvm = new Kvm(connection);
  return await kvm.create(bucket, {
    history: 1,
    storage: StorageType.File,
    allow_direct: true,
    timeout: requestTimeout,
  } as Parameters<Kvm["create"]>[1]);
}

/** All keys that have a value. */
async function readBucket(connection: NatsConnection, kv: KV): Promise<Map<string, string>> {
  const present = new Map<string, string>();
  const manager = await jetstreamManager(connection, { checkAPI: false, timeout: requestTimeout });
  const info = await manager.streams.info(`KV_${bucket}`);
  if (info.state.messages === 0) {
    return present;
  }
  const watch = await kv.watch();
  for await (const entry of watch) {
    if (entry.operation === "PUT") {
      present.set(entry.key, entry.string());
    }
    if (entry.delta === 0) {
      break;
    }
  }
  watch.stop();
  return present;
}

async function inParallel<T>(items: readonly T[], action: (item: T) => Promise<unknown>): Promise<void> {
  for (let start = 0; start < items.length; start += parallel) {
    await Promise.all(items.slice(start, start + parallel).map(action));
  }
}

export function createPublisher(options: PublisherOptions): Publisher {
  const { connection } = options;
  let wanted: { readonly keys: ReadonlyMap<string, string>; readonly version: string } | undefined;
  let kv: KV | undefined;
  let present: Map<string, string> | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let closed = false;
  let state: PublisherState = { version: "", publishedAt: 0, written: 0, removed: 0, error: "" };

  const write = async (target: NonNullable<typeof wanted>): Promise<void> => {
    kv ??= await openBucket(connection);
    present ??= await readBucket(connection, kv);
    const store = kv;
    const known = present;
    const complete = known.delete(completeKey);
    const { put, remove } = difference(known, target.keys);
    await inParallel(put, async ([key, value]) => {
      await store.put(key, value);
      known.set(key, value);
    });
    await inParallel(remove, async (key) => {
      await store.delete(key);
      known.delete(key);
    });
    if (!complete) {
      await store.put(completeKey, "{}");
    }
    known.set(completeKey, "{}");
    state = {
      version: target.version,
      publishedAt: options.now(),
      written: state.written + put.length,
      removed: state.removed + remove.length,
      error: "",
    };
  };

  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, retryMilliseconds));

  const loop = async (): Promise<void> => {
    while (again && !closed) {
      again = false;
      const target = wanted;
      if (target === undefined) {
        return;
      }
      try {
        await write(target);
      } catch (error) {
        kv = undefined;
        present = undefined;
        again = true;
        const message = (error as Error).message;
        if (message !== state.error) {
          state = { ...state, error: message };
          options.onError(
            new Error(`publishing the configuration to NATS failed: ${message}`, { cause: error }),
          );
        }
        await pause();
      }
    }
  };

  const wake = (): void => {
    again = true;
    running ??= loop().finally(() => {
      running = undefined;
      if (again && !closed) {
        wake();
      }
    });
  };

  return {
    publish(configuration) {
      wanted = configuration;
      wake();
    },
    reconnected() {
      kv = undefined;
      present = undefined;
      wake();
    },
    state: () => state,
    async close() {
      closed = true;
      await running;
    },
  };
}
