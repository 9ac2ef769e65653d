/** What the traffic is made of. */

/** One exchange with a service, whose answer is verified; rejects with what was wrong. */
export interface Check {
  readonly name: string;
  /** Exchanges a second. */
  readonly rate: number;
  /** While so many wait for answers, no other one is started. */
  readonly mostAtOnce: number;
  run(): Promise<void>;
}

/** Throws unless both are the same. */
export function expect(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) {
    throw new Error(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
}

/** Throws unless a SPIFFE ID is that of a service account of the shop. */
export function expectCaller(what: string, identity: unknown, serviceAccount: string): void {
  if (typeof identity !== "string" || !/^spiffe:\/\/[^/]+\/ns\/shop\/sa\/[^/]+$/.test(identity)) {
    throw new Error(`${what} is ${JSON.stringify(identity)}: the call did not come with mTLS`);
  }
  expect(what, identity.split("/").at(-1), serviceAccount);
}

/** Rejects when `work` takes longer than this many milliseconds, and says `what` did. */
export async function within<Value>(
  milliseconds: number,
  what: string,
  work: Promise<Value>,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

let last = 0;

/** A number that is different each time, for items and keys. */
export function nextNumber(): number {
  last = (last + 1) % 1_000_000;
  return last;
}
