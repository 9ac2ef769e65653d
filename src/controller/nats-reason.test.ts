import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type ReasonWatch, watchReason } from "./nats-reason.ts";

interface Watched {
  readonly watch: ReasonWatch;
  readonly reasons: string[];
  /** Lets the attempts that were made fail, in their order. */
  readonly open: ((error: unknown) => void)[];
  /** Seconds at which attempts were made. */
  readonly attempts: number[];
  /** Seconds pass. */
  pass(seconds: number): Promise<void>;
}

/** On a clock of its own; attempts fail at once with what `failure` gives, or wait when there is none. */
function watched(failure?: () => unknown): Watched {
  mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  const [reasons, open, attempts]: [string[], Watched["open"], number[]] = [[], [], []];
  const watch = watchReason({
    attempt() {
      attempts.push(now);
      return failure === undefined
        ? new Promise((_, reject) => void open.push(reject))
        : Promise.reject(failure());
    },
    onReason: (reason) => void reasons.push(reason),
  });
  return {
    watch,
    reasons,
    open,
    attempts,
    async pass(seconds) {
      for (let second = 0; second < seconds; second += 1) {
        now += 1;
        mock.timers.tick(1_000);
        await turn();
      }
    },
  };
}

function finish({ watch }: Watched): void {
  watch.end();
  mock.timers.reset();
}

const alert =
  "4037A0F5A07F0000:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:../record/rec_layer_s3.c:918:SSL alert number 48:";
const causes: readonly (readonly [string, unknown, string])[] = [
  ["nothing at all", undefined, "the server closes the connection without a word"],
  ["an error", new Error("connection refused\n"), "connection refused"],
  [
    "its cause",
    new Error("TLS", { cause: new Error("unable to verify the first certificate") }),
    "unable to verify the first certificate",
  ],
  ["a cause that says nothing", new Error("timeout", { cause: new Error("") }), "timeout"],
  ["a cause that is no error", new Error("timeout", { cause: "x" }), "timeout"],
  [
    "an alert of TLS",
    new Error("closed", { cause: new Error(alert) }),
    "the server refuses the controller's certificate, or its TLS: tlsv1 alert unknown ca",
  ],
];

for (const [what, error, reason] of causes) {
  test(`an attempt that fails with ${what}`, async () => {
    const it = watched(() => error);
    it.watch.begin();
    await it.pass(1);
    assert.deepEqual(it.reasons, [reason]);
    finish(it);
  });
}

test("attempts become seldom, once a minute at last, and one outage begins once", async () => {
  const it = watched(() => new Error("no"));
  it.watch.begin();
  it.watch.begin();
  await it.pass(200);
  assert.deepEqual(it.attempts, [1, 3, 7, 15, 31, 63, 123, 183]);
  assert.equal(it.reasons.length, it.attempts.length);
  finish(it);
});

test("once there is a connection no attempt is made; the next outage is looked at as soon as the first", async () => {
  const it = watched(() => new Error("no"));
  it.watch.begin();
  await it.pass(4);
  it.watch.end();
  await it.pass(100);
  assert.deepEqual(it.attempts, [1, 3]);
  it.watch.begin();
  await it.pass(3);
  assert.deepEqual(it.attempts, [1, 3, 105, 107]);
  finish(it);
});

test("an attempt of an outage that is over says nothing, and leads to no other", async () => {
  const it = watched();
  it.watch.begin();
  await it.pass(1);
  it.watch.end();
  it.watch.begin();
  it.open[0]!(new Error("of before"));
  await it.pass(1);
  it.open[1]!(new Error("of now"));
  await turn();
  await it.pass(2);
  assert.deepEqual(it.reasons, ["of now"]);
  assert.deepEqual(it.attempts, [1, 2, 4]);
  finish(it);
});
