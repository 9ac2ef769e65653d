/**
 * Which endpoint of a pool a request goes to. The methods are those of the annotation `lb-method`; `least_time` is
 * the default: two endpoints are drawn and the one that would answer sooner is taken, by a moving average of its
 * response times and the requests that it has in flight (M. Mitzenmacher, "The power of two choices"; the average is
 * that of Finagle's "peak EWMA": it follows a rise quickly and a fall slowly).
 */
import type { LbMethod } from "../../wire/messages.ts";

/** One endpoint and what this worker knows of it. Times are in microseconds of one monotonic clock. */
export interface BalancedEndpoint {
  /** Number by which the module knows it. */
  readonly id: number;
  inFlight: number;
  /** Moving average of response times; 0 before the first. */
  average: number;
  averagedAt: number;
  /** The pool's turn in which it was taken last; equals take turns. */
  taken: number;
  /** Consecutive failed attempts to connect. */
  failures: number;
  /** While failures > 0: not taken before this time, then once as a probe. */
  retryAt: number;
  /** Taken since its last failure. Refusals of attempts that began before say nothing new. */
  probing: boolean;
}

export interface Pool<E extends BalancedEndpoint> {
  method: LbMethod;
  endpoints: E[];
  /** Next position of `round_robin`. */
  next: number;
  /** Counts what was taken. */
  turn: number;
  /** How many endpoints have failures; with 0 nothing needs to be skipped. */
  ailing: number;
}

/** Averages below this are equal: at this scale differences are noise of the machine, not of the endpoint. */
export const floor = 10_000;
/** Scores within this factor are equal, and equals take turns. */
const tolerance = 2;
/** Time constant of the average while it falls. */
export const fall = 5_000_000;

function score(endpoint: BalancedEndpoint, now: number): number {
  let average = endpoint.average;
  if (average > floor) {
    average = average * Math.exp((endpoint.averagedAt - now) / fall);
  }
  if (average < floor) {
    average = floor;
  }
  return average * (endpoint.inFlight + 1);
}

/** `except`: the endpoint that just failed, or -1. A request that has met one probes no other: it has waited enough. */
function usable(endpoint: BalancedEndpoint, except: number, now: number): boolean {
  return endpoint.failures === 0 ? endpoint.id !== except : except < 0 && now >= endpoint.retryAt;
}

/** Not by how often, or one that was away for a while would be flooded when it comes back. */
function longerAgo<E extends BalancedEndpoint>(a: E, b: E): E {
  return b.taken < a.taken ? b : a;
}

function sooner<E extends BalancedEndpoint>(a: E, b: E, now: number): E {
  const scoreA = score(a, now);
  const scoreB = score(b, now);
  if (scoreA > scoreB * tolerance) {
    return b;
  }
  if (scoreB > scoreA * tolerance) {
    return a;
  }
  return longerAgo(a, b);
}

function lessBusy<E extends BalancedEndpoint>(a: E, b: E): E {
  if (a.inFlight !== b.inFlight) {
    return a.inFlight < b.inFlight ? a : b;
  }
  return longerAgo(a, b);
}

function countUsable<E extends BalancedEndpoint>(pool: Pool<E>, except: number, now: number): number {
  const endpoints = pool.endpoints;
  let count = 0;
  for (let i = 0; i < endpoints.length; i++) {
    if (usable(endpoints[i]!, except, now)) {
      count = count + 1;
    }
  }
  return count;
}

/** The usable endpoint with `position` usable ones before it: each has the same chance, whatever its neighbours are. */
function nthUsable<E extends BalancedEndpoint>(
  pool: Pool<E>,
  position: number,
  except: number,
  now: number,
): E | undefined {
  const endpoints = pool.endpoints;
  let left = position;
  for (let i = 0; i < endpoints.length; i++) {
    const endpoint = endpoints[i]!;
    if (usable(endpoint, except, now)) {
      if (left === 0) {
        return endpoint;
      }
      left = left - 1;
    }
  }
  return undefined;
}

function roundRobin<E extends BalancedEndpoint>(pool: Pool<E>, except: number, now: number): E | undefined {
  const count = pool.endpoints.length;
  const start = pool.next % count;
  for (let i = 0; i < count; i++) {
    const position = (start + i) % count;
    const endpoint = pool.endpoints[position]!;
    if (usable(endpoint, except, now)) {
      pool.next = position + 1;
      return endpoint;
    }
  }
  return undefined;
}

function leastConnections<E extends BalancedEndpoint>(
  pool: Pool<E>,
  except: number,
  now: number,
): E | undefined {
  let best: E | undefined;
  const endpoints = pool.endpoints;
  for (let i = 0; i < endpoints.length; i++) {
    const endpoint = endpoints[i]!;
    if (usable(endpoint, except, now)) {
      best = best === undefined ? endpoint : lessBusy(best, endpoint);
    }
  }
  return best;
}

/** How many can be drawn. With nothing to be skipped nobody is looked at. */
function drawable<E extends BalancedEndpoint>(pool: Pool<E>, except: number, now: number): number {
  return allUsable(pool, except) ? pool.endpoints.length : countUsable(pool, except, now);
}

function allUsable<E extends BalancedEndpoint>(pool: Pool<E>, except: number): boolean {
  return pool.ailing === 0 && except < 0;
}

/** The one at this position of those that can be drawn. */
function drawn<E extends BalancedEndpoint>(
  pool: Pool<E>,
  position: number,
  except: number,
  now: number,
): E | undefined {
  return allUsable(pool, except) ? pool.endpoints[position] : nthUsable(pool, position, except, now);
}

/** Draws one of those that are usable. */
function draw<E extends BalancedEndpoint>(
  pool: Pool<E>,
  random: () => number,
  except: number,
  now: number,
): E | undefined {
  const position = Math.floor(random() * drawable(pool, except, now));
  return drawn(pool, position, except, now);
}

/** Draws two different ones of those that are usable and takes the better one. */
function drawTwo<E extends BalancedEndpoint>(
  pool: Pool<E>,
  random: () => number,
  except: number,
  now: number,
): E | undefined {
  const count = drawable(pool, except, now);
  const i = Math.floor(random() * count);
  let j = Math.floor(random() * (count - 1));
  if (j >= i) {
    j = j + 1;
  }
  const a = drawn(pool, i, except, now);
  const b = drawn(pool, j, except, now);
  if (a === undefined || b === undefined) {
    return a;
  }
  return pool.method === "random two" || pool.method === "random two least_conn"
    ? lessBusy(a, b)
    : sooner(a, b, now);
}

/** By method; undefined when every endpoint is set aside. */
export function byMethod<E extends BalancedEndpoint>(
  pool: Pool<E>,
  random: () => number,
  except: number,
  now: number,
): E | undefined {
  const method = pool.method;
  if (method === "round_robin") {
    return roundRobin(pool, except, now);
  }
  if (method === "random") {
    return draw(pool, random, except, now);
  }
  if (method === "least_conn") {
    return leastConnections(pool, except, now);
  }
  return drawTwo(pool, random, except, now);
}
