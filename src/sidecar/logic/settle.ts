/** What an answer or a message from NATS changes. */
import { completeKey } from "../../wire/keys.ts";
import { wireVersion, type Protocol, type WorkloadMessage } from "../../wire/messages.ts";
import { refresh, refreshAll } from "./changes.ts";
import { takeWaiters, type Key } from "./keys.ts";
import type { Mesh } from "./mesh.ts";

/** Where a value came from: the answer to a request, or a message on the key's subject. */
export type Source = "answer" | "message";

function versionOf(value: unknown): unknown {
  return typeof value === "object" && value !== undefined && value !== null
    ? (value as { version?: unknown }).version
    : undefined;
}

function apply(mesh: Mesh, key: Key): void {
  mesh.changedAt = mesh.world.now();
  if (key.name === mesh.settingsKey) {
    applySettings(mesh, key.value as WorkloadMessage | undefined);
  } else {
    refresh(mesh, key);
  }
}

function applySettings(mesh: Mesh, settings: WorkloadMessage | undefined): void {
  if (settings === undefined) {
    return;
  }
  const own: Record<number, Protocol> = {};
  for (let i = 0; i < settings.ports.length; i++) {
    own[settings.ports[i]!.port] = settings.ports[i]!.protocol;
  }
  mesh.world.configure(settings);
  mesh.settings = settings;
  mesh.ownPorts = own;
  refreshAll(mesh);
}

function tellWaiters(mesh: Mesh, key: Key): void {
  const waiters: number[] = [];
  takeWaiters(key, waiters);
  for (let i = 0; i < waiters.length; i++) {
    mesh.world.resume(waiters[i]!);
  }
}

/**
 * Puts the value in force; otherwise says why it cannot be. The version alone does not make a value one that can be
 * read, and an error in one must not end the connection over which all others come.
 */
function tryValue(mesh: Mesh, key: Key, value: unknown): string | undefined {
  if (versionOf(value) !== wireVersion) {
    return "it cannot be read or is of another version";
  }
  const { value: last, state } = key;
  try {
    key.value = value;
    key.state = "present";
    apply(mesh, key);
    return undefined;
  } catch (error) {
    key.value = last;
    key.state = state;
    apply(mesh, key);
    return `${error as string}`;
  }
}

/** The key has this value now. A value that cannot be read leaves the last one in force. */
export function present(mesh: Mesh, key: Key, value: unknown, source: Source): void {
  if (source === "answer" && key.fresher) {
    return;
  }
  key.fresher = source === "message";
  const problem = tryValue(mesh, key, value);
  if (problem !== undefined) {
    mesh.world.log("error", `value of "${key.name}" ignored: ${problem}`);
    if (key.state === "asked") {
      key.state = "absent";
    }
  }
  tellWaiters(mesh, key);
}

/**
 * The key has no value. `removed`: the bucket says so with a marker. Otherwise it just is not there, which means
 * something only when the bucket is complete: storage may have been lost and not been filled yet.
 */
export function absent(mesh: Mesh, key: Key, removed: boolean, source: Source): void {
  if (source === "answer" && key.fresher) {
    return;
  }
  key.fresher = source === "message";
  const had = key.value !== undefined;
  const settled = key.state === "absent";
  if (had && !removed && !mesh.keys.complete) {
    tellWaiters(mesh, key);
    return;
  }
  if (!had && !removed && !mesh.keys.complete && source === "answer") {
    // a bucket that is not filled yet: wait for the value, or for the time-out
    key.missing = true;
    return;
  }
  key.state = "absent";
  key.value = undefined;
  if (had) {
    apply(mesh, key);
  } else if (!settled) {
    // a route may have waited for this backend; it applies without it
    refresh(mesh, key);
  }
  tellWaiters(mesh, key);
}

/** The marker of completeness came or went. True: what is absent must be asked again. */
export function completeness(mesh: Mesh, key: Key, complete: boolean): boolean {
  const before = mesh.keys.complete;
  mesh.keys.complete = complete;
  key.state = complete ? "present" : "absent";
  return complete && !before;
}

/**
 * Gives up on keys that were asked for at these times (seconds) or earlier, so that nothing waits without end: keys
 * that are missing, and keys about which nothing was heard.
 */
export function giveUp(mesh: Mesh, missingSince: number, silentSince: number): void {
  for (const name in mesh.keys.byName) {
    const key = mesh.keys.byName[name]!;
    if (
      key.state === "asked" &&
      key.askedAt <= (key.missing ? missingSince : silentSince) &&
      key.name !== completeKey
    ) {
      key.state = "unanswered";
      tellWaiters(mesh, key);
    }
  }
}
