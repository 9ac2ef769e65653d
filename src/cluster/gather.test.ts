import { strict as assert } from "node:assert";
import { test } from "node:test";
import { gather, longestMilliseconds, settleMilliseconds } from "./gather.ts";

test("events close to each other are one call, after the last", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let calls = 0;
  const events = gather(() => (calls += 1));
  for (let i = 0; i < 3; i += 1) {
    events.soon();
    context.mock.timers.tick(settleMilliseconds - 1);
  }
  assert.equal(calls, 0);
  context.mock.timers.tick(1);
  assert.equal(calls, 1);
  context.mock.timers.tick(1000);
  assert.equal(calls, 1);
});

test("a stream of events does not hold the call up", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let calls = 0;
  const events = gather(() => (calls += 1));
  for (let time = 0; time < 4 * longestMilliseconds; time += 1) {
    events.soon();
    context.mock.timers.tick(1);
  }
  assert.equal(calls, 4);
});

test("nothing is called after closing", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let calls = 0;
  const events = gather(() => (calls += 1));
  events.soon();
  events.close();
  context.mock.timers.tick(1000);
  assert.equal(calls, 0);
});
