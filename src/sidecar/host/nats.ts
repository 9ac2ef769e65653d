/** State of the connection to NATS, and what is to be written to it. The connection itself: nats-session.ts. */
import type { Key } from "../logic/keys.ts";
import type { Mesh } from "../logic/mesh.ts";

const semaphores = require("ngx.semaphore");

export interface NatsState {
  state: "connecting" | "connected";
  /** Seconds; when this state began. */
  since: number;
  error: string;
  reconnects: number;
}

export interface Nats {
  readonly mesh: Mesh;
  readonly state: NatsState;
  readonly name: string;
  /** Reply subjects are `inbox.SID`. */
  readonly inbox: string;
  /** Something is to be written. */
  readonly work: Semaphore;
  /** Lines to be written, complete with line ends. */
  readonly queue: string[];
  /** Subscription number → key, and back. */
  readonly followed: Record<string, Key>;
  readonly numbers: Record<string, number>;
  nextNumber: number;
  pongMissing: boolean;
  /** Names of keys that are to be asked for again, from `againAt` on. */
  readonly again: string[];
  againAt: number;
}

export function createNats(mesh: Mesh, name: string, inbox: string): Nats {
  const [work] = semaphores.new();
  return {
    mesh,
    state: { state: "connecting", since: ngx.time(), error: "", reconnects: 0 },
    name,
    inbox,
    work,
    queue: [],
    followed: {},
    numbers: {},
    nextNumber: 2,
    pongMissing: false,
    again: [],
    againAt: 0,
  };
}

/** May be called from anywhere in the worker, also from the module's calls, which cannot wait. */
export function wake(nats: Nats): void {
  if (nats.work.count() <= 0) {
    nats.work.post(1);
  }
}

export function publish(nats: Nats, subject: string, payload: string): void {
  if (nats.state.state === "connected") {
    nats.queue.push(`PUB ${subject} ${payload.length}\r\n${payload}\r\n`);
    wake(nats);
  }
}

/** Stops following a key that is held no more. */
export function unfollow(nats: Nats, name: string): void {
  const number = nats.numbers[name];
  if (number !== undefined) {
    delete nats.numbers[name];
    delete nats.followed[`${number}`];
    nats.queue.push(`UNSUB ${number}\r\n`);
    wake(nats);
  }
}
