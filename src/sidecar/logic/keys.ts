/**
 * What this worker holds of the bucket: keys that traffic asked for, followed since. A key is asked for once; those
 * who need it meanwhile are told when the answer has come.
 */

export type KeyState =
  /** Asked for, no answer yet. */
  | "asked"
  | "present"
  /** The bucket has no such key; it is followed all the same, so that it is noticed when it appears. */
  | "absent"
  /** NATS did not answer in time; asked again when it is back. */
  | "unanswered";

export interface Key {
  readonly name: string;
  state: KeyState;
  /** The decoded value when present, or the last one that could be read. */
  value: unknown;
  /** CRC-32 of the value as NATS sent it; 0 until it has sent one that could be read. */
  checksum: number;
  /** Waiting connections of the module. */
  readonly waiters: number[];
  /** While asked: NATS has answered that there is no value, in a bucket that is still being filled. */
  missing: boolean;
  /** Seconds; when the asking began, and when the key was last needed. */
  askedAt: number;
  usedAt: number;
  /** Not dropped when unused. */
  pinned: boolean;
  /** A message on the key's subject has come since the last request: newer than any answer to that. */
  fresher: boolean;
}

export interface Keys {
  readonly byName: Record<string, Key>;
  count: number;
  /** Names to ask for, in order; whoever talks to NATS empties it. */
  readonly toAsk: string[];
  /** Whether the bucket is known to be complete: only then does absence mean anything. */
  complete: boolean;
}

export function createKeys(): Keys {
  return { byName: {}, count: 0, toAsk: [], complete: false };
}

/** The key, asked for if it is not yet; `waiter` (or -1) is told when the answer comes. */
export function need(keys: Keys, name: string, waiter: number, now: number, pinned: boolean): Key {
  let key = keys.byName[name];
  if (key === undefined) {
    key = {
      name,
      state: "asked",
      value: undefined,
      checksum: 0,
      waiters: [],
      missing: false,
      askedAt: now,
      usedAt: now,
      pinned,
      fresher: false,
    };
    keys.byName[name] = key;
    keys.count = keys.count + 1;
    keys.toAsk.push(name);
  }
  key.usedAt = now;
  if (pinned) {
    key.pinned = true;
  }
  if (key.state === "asked" && waiter >= 0) {
    addWaiter(key, waiter);
  }
  return key;
}

function addWaiter(key: Key, waiter: number): void {
  for (let i = 0; i < key.waiters.length; i++) {
    if (key.waiters[i] === waiter) {
      return;
    }
  }
  key.waiters.push(waiter);
}

/** Takes the waiters out, to be told. */
export function takeWaiters(key: Key, into: number[]): void {
  for (let i = 0; i < key.waiters.length; i++) {
    into.push(key.waiters[i]!);
  }
  while (key.waiters.length > 0) {
    key.waiters.pop();
  }
}

/** After a reconnect everything is asked again; until the answers come, what is held stays in force. */
export function askAgain(keys: Keys): void {
  while (keys.toAsk.length > 0) {
    keys.toAsk.pop();
  }
  for (const name in keys.byName) {
    const key = keys.byName[name]!;
    key.fresher = false;
    key.missing = false;
    keys.toAsk.push(name);
  }
}
