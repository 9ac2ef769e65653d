/** Takes an endpoint of a pool for a request, and learns from what came of it. */
import { type BalancedEndpoint, byMethod, fall, floor, type Pool } from "./methods.ts";

/** Time constant of the average while it rises. */
const rise = 1_000_000;
const firstRetry = 1_000_000;
const lastRetry = 30_000_000;

/**
 * Takes an endpoint of the pool; undefined when the pool is empty. `except`: the endpoint that just failed, or -1;
 * it is taken again only when there is no other. When all are set aside, one of them is tried nevertheless.
 */
export function take<E extends BalancedEndpoint>(
  pool: Pool<E>,
  random: () => number,
  except: number,
  now: number,
): E | undefined {
  const count = pool.endpoints.length;
  if (count === 0) {
    return undefined;
  }
  let endpoint: E | undefined;
  if (count === 1) {
    endpoint = pool.endpoints[0]!;
  } else {
    endpoint = byMethod(pool, random, except, now);
    endpoint ??= anyOther(pool, random, except);
  }
  endpoint.inFlight = endpoint.inFlight + 1;
  pool.turn = pool.turn + 1;
  endpoint.taken = pool.turn;
  if (endpoint.failures > 0) {
    endpoint.retryAt = now + backOff(endpoint.failures);
    endpoint.probing = true;
  }
  return endpoint;
}

/** One of all, even if it is set aside; `except` only when it is alone. */
function anyOther<E extends BalancedEndpoint>(pool: Pool<E>, random: () => number, except: number): E {
  const count = pool.endpoints.length;
  const position = Math.floor(random() * count);
  const endpoint = pool.endpoints[position]!;
  return endpoint.id === except ? pool.endpoints[(position + 1) % count]! : endpoint;
}

function backOff(failures: number): number {
  let pause = firstRetry;
  for (let i = 1; i < failures && pause < lastRetry; i++) {
    pause = pause * 2;
  }
  return pause < lastRetry ? pause : lastRetry;
}

/** The endpoint answered after `sample` microseconds. */
export function answered<E extends BalancedEndpoint>(
  pool: Pool<E>,
  endpoint: E,
  sample: number,
  now: number,
): void {
  release(endpoint);
  if (endpoint.failures > 0) {
    endpoint.failures = 0;
    endpoint.probing = false;
    pool.ailing = pool.ailing - 1;
  }
  if (endpoint.average === 0) {
    // with the handshake and the application's first steps in it, one sample must not shut the endpoint out for seconds
    endpoint.average = sample < floor ? sample : floor;
  } else {
    const constant = sample > endpoint.average ? rise : fall;
    const weight = Math.exp((endpoint.averagedAt - now) / constant);
    endpoint.average = endpoint.average * weight + sample * (1 - weight);
  }
  endpoint.averagedAt = now;
}

/** The attempt is over without an answer that says anything about the endpoint. */
export function release(endpoint: BalancedEndpoint): void {
  if (endpoint.inFlight > 0) {
    endpoint.inFlight = endpoint.inFlight - 1;
  }
}

/**
 * The endpoint refused the connection, or could not be reached: it is set aside for a while, longer after each probe
 * that fails. Many attempts that were under way when it went down count as one failure.
 */
export function refused<E extends BalancedEndpoint>(pool: Pool<E>, endpoint: E, now: number): void {
  release(endpoint);
  if (endpoint.failures === 0) {
    pool.ailing = pool.ailing + 1;
  } else if (!endpoint.probing) {
    return;
  }
  endpoint.probing = false;
  endpoint.failures = endpoint.failures + 1;
  endpoint.retryAt = now + backOff(endpoint.failures);
}
