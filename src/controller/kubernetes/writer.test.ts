import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { ApiError } from "../../cluster/kubernetes/api-server.ts";
import { createWriter, type Due } from "./writer.ts";

/** Those before `until` fail with the status; more than are written at once. */
function dues(until: number, status: number, message: string, written: string[]): readonly Due[] {
  return Array.from({ length: 30 }, (_, at): Due => ({
    key: `key ${at}`,
    content: "a",
    needs: '"create" the resource "events"',
    write: () =>
      at < until
        ? Promise.reject(new ApiError(`${message} ${at}`, status))
        : Promise.resolve(void written.push(`key ${at}`)),
  }));
}

const terminating =
  "forbidden: unable to create new content in namespace shop because it is being terminated";
const denied =
  'cannot write: access is denied; let the controller\'s ServiceAccount "create" the resource "events" (no 11)';

const cases: readonly (readonly [string, number, string, number, string])[] = [
  ["nothing", 200, "", 30, ""],
  ["a right that is missing", 403, "no", 18, denied],
  ["a namespace that is going", 403, terminating, 18, ""],
  ["objects that are gone", 404, "no", 18, ""],
  ["a server that is away", 0, "no", 0, "cannot write: no 0"],
  ["a token that is not known", 401, "no", 0, "cannot write: no 0"],
  ["a server that wants to be left alone", 429, "no", 0, "cannot write: no 0"],
];

for (const [what, status, message, count, error] of cases) {
  test(`in the way of some is ${what}: ${count} of the others are written`, async () => {
    const written: string[] = [];
    const errors: string[] = [];
    const writer = createWriter({ what: "write", onError: (each) => void errors.push(each) });
    writer.update(dues(status === 200 ? 0 : 12, status, message, written));
    for (let turns = 0; errors.length === 0 && turns < 100; turns += 1) {
      await turn();
    }
    await writer.close();
    assert.equal(written.length, count);
    assert.deepEqual(errors, [error]);
  });
}

test("what one object's own state refuses is told for each, and what was written is written once", async () => {
  const written: string[] = [];
  const errors: string[] = [];
  const writer = createWriter({ what: "write", onError: (each) => void errors.push(each) });
  for (const until of [2, 0, 0]) {
    const before = errors.length;
    writer.update(dues(until, 422, "invalid", written));
    for (let turns = 0; errors.length === before && turns < 100; turns += 1) {
      await turn();
    }
    await turn();
  }
  await writer.close();
  assert.deepEqual(errors, ["cannot write: invalid 0; cannot write: invalid 1", "", ""]);
  assert.deepEqual([written.length, new Set(written).size], [30, 30]);
});

test("a write that somebody else was quicker with is done again, and told when it never succeeds", async () => {
  const errors: string[] = [];
  const writer = createWriter({ what: "write", onError: (each) => void errors.push(each) });
  let attempts = 0;
  const due = (key: string, conflicts: number): Due => ({
    key,
    content: "a",
    needs: "",
    write: () => {
      attempts += 1;
      return attempts <= conflicts
        ? Promise.reject(new ApiError("it has been changed", 409))
        : Promise.resolve();
    },
  });
  writer.update([due("soon", 2)]);
  for (let turns = 0; errors.length === 0 && turns < 100; turns += 1) {
    await turn();
  }
  assert.deepEqual([attempts, errors], [3, [""]]);
  attempts = 0;
  writer.update([due("never", 100)]);
  for (let turns = 0; errors.length === 1 && turns < 100; turns += 1) {
    await turn();
  }
  await writer.close();
  assert.deepEqual([attempts, errors], [3, ["", "cannot write: it has been changed"]]);
});

test("to what is gone is written once, not at every look", async () => {
  const errors: string[] = [];
  const writer = createWriter({ what: "write", onError: (each) => void errors.push(each) });
  let attempts = 0;
  const due: Due = {
    key: "gone",
    content: "a",
    needs: "",
    write: () => {
      attempts += 1;
      return Promise.reject(new ApiError("there is no such object", 404));
    },
  };
  for (let looks = 1; looks <= 3; looks += 1) {
    writer.update([due]);
    for (let turns = 0; errors.length < looks && turns < 100; turns += 1) {
      await turn();
    }
    await turn();
  }
  await writer.close();
  assert.deepEqual([attempts, errors], [1, ["", "", ""]]);
});
