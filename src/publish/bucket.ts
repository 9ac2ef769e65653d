/** The bucket in NATS: opened or made, read as a whole, written key by key. */
import { jetstreamManager, type JetStreamManager, StorageType } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { bucket, keySubjectPrefix } from "../wire/keys.ts";

const stream = `KV_${bucket}`;
/** Milliseconds. */
const requestTimeout = 5_000;

/** The trace of a key that was removed. */
export interface Tombstone {
  readonly key: string;
  readonly revision: number;
  readonly created: Date;
}

export interface BucketContents {
  /** Keys that have a value. */
  readonly values: Map<string, string>;
  readonly tombstones: readonly Tombstone[];
}

export interface Bucket {
  read(): Promise<BucketContents>;
  put(key: string, value: string): Promise<void>;
  /** Leaves a tombstone, so that followers hear of it. */
  remove(key: string): Promise<void>;
  /** Drops a tombstone, but no value that came after it. */
  bury(tombstone: Tombstone): Promise<void>;
}

/** Where NATS keeps the bucket: one that loses its memory is filled again. */
export type BucketStorage = "file" | "memory";

/** Opens the bucket; makes it when it is not there. */
export async function openBucket(connection: NatsConnection, storage: BucketStorage): Promise<Bucket> {
  const kv = await new Kvm(connection).create(bucket, {
    history: 1,
    storage: storage === "memory" ? StorageType.Memory : StorageType.File,
    allow_direct: true,
    timeout: requestTimeout,
  });
  const manager = await jetstreamManager(connection, { checkAPI: false, timeout: requestTimeout });
  return {
    read: () => readAll(kv, manager),
    async put(key, value) {
      await kv.put(key, value);
    },
    remove: (key) => kv.delete(key),
    async bury({ key, revision }) {
      await manager.streams.purge(stream, { filter: `${keySubjectPrefix}${key}`, seq: revision + 1 });
    },
  };
}

async function readAll(kv: KV, manager: JetStreamManager): Promise<BucketContents> {
  const values = new Map<string, string>();
  const tombstones: Tombstone[] = [];
  const { state } = await manager.streams.info(stream);
  if (state.messages === 0) {
    return { values, tombstones };
  }
  const entries = await kv.watch();
  for await (const entry of entries) {
    const { key, revision, created } = entry;
    if (entry.operation === "PUT") {
      values.set(key, entry.string());
    } else {
      tombstones.push({ key, revision, created });
    }
    if (entry.delta === 0) {
      break;
    }
  }
  entries.stop();
  return { values, tombstones };
}
