/**
 * Keeps the bucket equal to the newest configuration. Level-triggered: after each connect it reads what the bucket has
 * and writes the difference, so a NATS that comes back empty is filled again, and a controller that restarts writes
 * only what changed meanwhile.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { completeKey } from "../wire/keys.ts";
import { type Bucket, type BucketStorage, openBucket, type Tombstone } from "./bucket.ts";
import { difference } from "./difference.ts";

/** Writes that may be under way at once. */
const parallel = 128;
const firstRetry = 100;
const longestRetry = 5_000;
/** A removal is remembered this long for sidecars that were away; milliseconds. */
const tombstoneAge = 3_600_000;

export interface Publication {
  readonly keys: ReadonlyMap<string, string>;
  readonly version: string;
}

export interface PublisherState {
  /** Version of the configuration that the bucket has; empty before the first. */
  readonly version: string;
  /** Milliseconds since 1970; 0: never. */
  readonly publishedAt: number;
  /** Keys since the start. */
  readonly written: number;
  readonly removed: number;
  /** Why the newest configuration is not in the bucket; empty: it is, or is being written. */
  readonly error: string;
}

export interface Publisher {
  /** The newest configuration; one that was not written yet is skipped. */
  publish(publication: Publication): void;
  /** Writes nothing more until the next `publish`, which reads the bucket again: another may have written meanwhile. */
  withdraw(): void;
  /** The connection is gone: what is under way is given up. */
  disconnected(): void;
  /** The connection is new: the bucket is read again. */
  reconnected(): void;
  state(): PublisherState;
  close(): Promise<void>;
}

export interface PublisherOptions {
  readonly connection: NatsConnection;
  /** Default: file. */
  readonly storage?: BucketStorage;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A configuration is in the bucket. */
  readonly onPublished?: (change: { readonly written: number; readonly removed: number }) => void;
  /** Called once for each new reason. */
  readonly onError: (error: Error) => void;
}

/** What is known of the bucket since the last connect. */
interface Known {
  readonly bucket: Bucket;
  readonly values: Map<string, string>;
}

async function inParallel<T>(
  items: readonly T[],
  signal: AbortSignal,
  action: (item: T) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < items.length; start += parallel) {
    signal.throwIfAborted();
    await Promise.all(items.slice(start, start + parallel).map(action));
  }
}

async function bury(bucket: Bucket, tombstones: readonly Tombstone[], now: number): Promise<void> {
  for (const tombstone of tombstones) {
    if (now - tombstone.created.getTime() > tombstoneAge) {
      await bucket.bury(tombstone);
    }
  }
}

/** Writes what differs; the mark of completeness last. */
async function write(known: Known, target: Publication, signal: AbortSignal) {
  const { bucket, values } = known;
  const present = new Map(values);
  present.delete(completeKey);
  const { put, remove } = difference(present, target.keys);
  await inParallel(put, signal, async ([key, value]) => {
    await bucket.put(key, value);
    values.set(key, value);
  });
  await inParallel(remove, signal, async (key) => {
    await bucket.remove(key);
    values.delete(key);
  });
  signal.throwIfAborted();
  if (!values.has(completeKey)) {
    await bucket.put(completeKey, "{}");
    values.set(completeKey, "{}");
  }
  return { written: put.length, removed: remove.length };
}

/** The result of the work, unless the signal comes first; the work is then left to end by itself. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

export function createPublisher(options: PublisherOptions): Publisher {
  let wanted: Publication | undefined;
  let known: Known | undefined;
  let running = Promise.resolve();
  let busy = false;
  let retry: NodeJS.Timeout | undefined;
  let delay = firstRetry;
  let again = false;
  let session = new AbortController();
  let state: PublisherState = { version: "", publishedAt: 0, written: 0, removed: 0, error: "" };

  const open = async (signal: AbortSignal): Promise<Known> => {
    const bucket = await openBucket(options.connection, options.storage ?? "file");
    const { values, tombstones } = await bucket.read();
    signal.throwIfAborted();
    void bury(bucket, tombstones, options.now()).catch(() => undefined);
    return { bucket, values };
  };

  const publishOnce = async (target: Publication, signal: AbortSignal): Promise<void> => {
    known ??= await open(signal);
    const { written, removed } = await write(known, target, signal);
    signal.throwIfAborted();
    state = {
      version: target.version,
      publishedAt: options.now(),
      written: state.written + written,
      removed: state.removed + removed,
      error: "",
    };
    delay = firstRetry;
    options.onPublished?.({ written, removed });
  };

  const failed = (error: Error): void => {
    known = undefined;
    again = true;
    const { message } = error;
    if (message !== state.error) {
      state = { ...state, error: message };
      options.onError(new Error(`cannot publish the configuration to NATS: ${message}`, { cause: error }));
    }
    retry = setTimeout(wake, delay);
    delay = Math.min(delay * 2, longestRetry);
  };

  const loop = async (signal: AbortSignal): Promise<void> => {
    while (again && wanted !== undefined && !signal.aborted) {
      again = false;
      try {
        await unlessAborted(publishOnce(wanted, signal), signal);
      } catch (error) {
        if (!signal.aborted) {
          failed(error as Error);
        }
        break;
      }
    }
    busy = false;
  };

  const wake = (): void => {
    again = true;
    clearTimeout(retry);
    if (!busy) {
      busy = true;
      running = loop(session.signal);
    }
  };

  const giveUp = (reason: string): void => {
    clearTimeout(retry);
    session.abort(new Error(reason));
    known = undefined;
  };

  return {
    publish(publication) {
      wanted = publication;
      wake();
    },
    withdraw() {
      giveUp("another control plane publishes");
      wanted = undefined;
      session = new AbortController();
      void running.then(() => (wanted === undefined ? undefined : wake()));
    },
    disconnected: () => giveUp("the connection to NATS is lost"),
    reconnected() {
      giveUp("the connection to NATS is another");
      session = new AbortController();
      delay = firstRetry;
      void running.then(wake);
    },
    state: () => state,
    async close() {
      giveUp("the publisher is closed");
      await running;
    },
  };
}
