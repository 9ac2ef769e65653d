/** The objects of one resource as the last events left them. */
import { type Entry, succeed } from "./entry.ts";
import type { Sink } from "./reflector.ts";

export interface Store<T> extends Sink<Entry<T>> {
  /** In no particular order. */
  entries(): Iterable<Entry<T>>;
  get(key: string): Entry<T> | undefined;
  /** Whether there was a list. */
  synced(): boolean;
}

/** `changed` is called when what is kept differs, and after the first list. */
export function createStore<T>(changed: () => void): Store<T> {
  let known = new Map<string, Entry<T>>();
  let synced = false;
  return {
    replace(objects) {
      const next = new Map([...objects].map(([key, entry]) => [key, succeed(known.get(key), entry)]));
      const differs = next.size !== known.size || [...next].some(([key, entry]) => known.get(key) !== entry);
      known = next;
      if (differs || !synced) {
        synced = true;
        changed();
      }
    },
    set(key, object) {
      const before = known.get(key);
      const next = succeed(before, object);
      if (next !== before) {
        known.set(key, next);
        changed();
      }
    },
    remove(key) {
      if (known.delete(key)) {
        changed();
      }
    },
    entries: () => known.values(),
    get: (key) => known.get(key),
    synced: () => synced,
  };
}
