import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { DesiredGroup, DesiredPod } from "./desired.ts";
import { nextSteps, ownerKey, podKey, type PresentPod } from "./steps.ts";

const owner = { kind: "deployment", name: "web" };

function desired(name: string, revision: string): DesiredPod {
  return {
    namespace: "shop",
    name,
    owner,
    labels: {},
    annotations: {},
    serviceAccount: "default",
    spec: { containers: [{ name: "web" }] },
    restartPolicy: "Always",
    meshed: true,
    folder: "/",
    revision,
  };
}

function group(
  update: "surge" | "replace",
  replicas: number,
  more: Partial<DesiredGroup> = {},
): DesiredGroup {
  const prefix = update === "surge" ? "web-new" : "web";
  const pods = Array.from({ length: replicas }, (_, i) => desired(`${prefix}-${i}`, "new"));
  const key = ownerKey(desired("", ""));
  return { key, update, ordered: update === "replace", refused: false, pods, ...more };
}

function there(name: string, state = "ready", revision = name.includes("old") ? "old" : "new"): PresentPod {
  return { desired: desired(name, revision), ready: state === "ready", terminating: state === "ending" };
}

interface Case {
  readonly title: string;
  readonly groups: readonly DesiredGroup[];
  readonly present: readonly PresentPod[];
  readonly start?: readonly string[];
  readonly stop?: readonly string[];
}

const cases: readonly Case[] = [
  { title: "from nothing", groups: [group("surge", 2)], present: [], start: ["web-new-0", "web-new-1"] },
  { title: "as it should be", groups: [group("surge", 1)], present: [there("web-new-0", "starting")] },
  {
    title: "the workload is gone",
    groups: [],
    present: [there("web-new-0"), there("web-new-1", "ending")],
    stop: ["web-new-0"],
  },
  {
    title: "it can no longer be started as it is written: what runs goes on",
    groups: [group("surge", 0, { refused: true })],
    present: [there("web-old-0")],
  },
  {
    title: "fewer",
    groups: [group("surge", 1)],
    present: [there("web-new-0"), there("web-new-1")],
    stop: ["web-new-1"],
  },
  { title: "none", groups: [group("surge", 0)], present: [there("web-new-0")], stop: ["web-new-0"] },
  {
    title: "a new revision comes first, one more than wanted",
    groups: [group("surge", 2)],
    present: [there("web-old-0"), there("web-old-1")],
    start: ["web-new-0"],
  },
  {
    title: "the old one stays until the new one is ready",
    groups: [group("surge", 1)],
    present: [there("web-old-0"), there("web-new-0", "starting")],
  },
  {
    title: "and goes then",
    groups: [group("surge", 1)],
    present: [there("web-old-0"), there("web-new-0")],
    stop: ["web-old-0"],
  },
  {
    title: "an old one that is not ready is no loss",
    groups: [group("surge", 1)],
    present: [there("web-old-0", "starting")],
    start: ["web-new-0"],
    stop: ["web-old-0"],
  },
  { title: "in order: the first", groups: [group("replace", 3)], present: [], start: ["web-0"] },
  { title: "in order: wait", groups: [group("replace", 3)], present: [there("web-0", "starting")] },
  { title: "in order: the next", groups: [group("replace", 3)], present: [there("web-0")], start: ["web-1"] },
  {
    title: "in parallel",
    groups: [group("replace", 2, { ordered: false })],
    present: [],
    start: ["web-0", "web-1"],
  },
  {
    title: "replaced from the top, one at a time",
    groups: [group("replace", 2)],
    present: [there("web-0", "ready", "old"), there("web-1", "ready", "old")],
    stop: ["web-1"],
  },
  {
    title: "its name is not free yet",
    groups: [group("replace", 2)],
    present: [there("web-0", "ready", "old"), there("web-1", "ending", "old")],
  },
  {
    title: "the next only when the one before is ready",
    groups: [group("replace", 2)],
    present: [there("web-0", "ready", "old"), there("web-1", "starting")],
  },
  {
    title: "a broken one is replaced at once",
    groups: [group("replace", 2)],
    present: [there("web-0", "starting", "old")],
    stop: ["web-0"],
  },
];

for (const { title, groups, present, start = [], stop = [] } of cases) {
  test(title, () => {
    const steps = nextSteps(groups, present);
    assert.deepEqual(
      { start: steps.start.map((pod) => pod.name), stop: steps.stop },
      { start, stop: stop.map((name) => `shop/${name}`) },
    );
  });
}

/** Plays steps until there are none; what starts becomes ready, what stops is gone. */
function play(wanted: DesiredGroup, before: readonly PresentPod[]): readonly PresentPod[] {
  let pods = before;
  for (let round = 0; round < 200; round += 1) {
    const { start, stop } = nextSteps([wanted], pods);
    if (start.length === 0 && stop.length === 0) {
      return pods;
    }
    const ready = pods.filter((pod) => pod.ready).length;
    pods = pods.filter((pod) => !stop.includes(podKey(pod.desired)));
    if (wanted.update === "surge") {
      const left = pods.filter((pod) => pod.ready).length;
      assert.ok(left >= Math.min(ready, wanted.pods.length), "fewer ready pods than wanted");
    }
    pods = [...pods, ...start.map((pod) => ({ desired: pod, ready: true, terminating: false }))];
  }
  throw new Error("does not come to an end");
}

test("every beginning ends with exactly the wanted pods; a surge keeps as many ready as are wanted", () => {
  const states = fc.array(fc.record({ ready: fc.boolean(), old: fc.boolean() }), { maxLength: 9 });
  const updates = fc.constantFrom<"surge" | "replace">("surge", "replace");
  fc.assert(
    fc.property(updates, fc.nat(7), fc.boolean(), states, (update, replicas, ordered, list) => {
      const wanted = group(update, replicas, { ordered });
      const before = list.map(({ ready, old }, i) => {
        const name = update === "surge" ? `web-${old ? "old" : "new"}-${i}` : `web-${i}`;
        // a new one that is not ready is taken to become so
        return there(name, ready || !old ? "ready" : "starting", old ? "old" : "new");
      });
      const after = play(wanted, before);
      assert.deepEqual(
        after.map((pod) => pod.desired.name).sort(),
        wanted.pods.map((pod) => pod.name).sort(),
      );
      assert.ok(after.every((pod) => pod.desired.revision === "new"));
    }),
    { numRuns: 500 },
  );
});
