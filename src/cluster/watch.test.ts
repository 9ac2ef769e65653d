import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { watchPaths } from "./watch.ts";

async function withWatch(
  use: (folder: string, next: () => Promise<number>, calls: () => number) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "watch-"));
  await mkdir(join(folder, "manifests"));
  let calls = 0;
  let wake = (): void => undefined;
  const watching = watchPaths([join(folder, "manifests")], [join(folder, "status.json")], () => {
    calls += 1;
    wake();
  });
  /** Milliseconds until the next call. */
  const next = async (): Promise<number> => {
    const start = performance.now();
    const called = new Promise<void>((resolve) => (wake = resolve));
    const result = await Promise.race([called, delay(2000, "late")]);
    assert.notEqual(result, "late", "the change was not noticed");
    return performance.now() - start;
  };
  try {
    await use(folder, next, () => calls);
  } finally {
    watching.close();
    await rm(folder, { recursive: true });
  }
}

/** Does something and waits until it is noticed and all is quiet again. */
async function noticed(next: () => Promise<number>, action: () => Promise<unknown>): Promise<number> {
  const time = next();
  await action();
  const result = await time;
  await delay(40);
  return result;
}

test("writing, replacing, renaming and removing are noticed, each time", async () => {
  await withWatch(async (folder, next) => {
    const file = join(folder, "manifests", "a.yaml");
    await noticed(next, () => writeFile(file, "1"));
    for (let round = 0; round < 3; round += 1) {
      await noticed(next, async () => {
        await writeFile(`${file}.swp`, "2");
        await rename(`${file}.swp`, file);
      });
    }
    await noticed(next, () => writeFile(file, "3"));
    await noticed(next, () => rm(file));
    await noticed(next, () => writeFile(file, "4"));
  });
});

test("files in new folders are noticed, also after the folder was made again", async () => {
  await withWatch(async (folder, next) => {
    const below = join(folder, "manifests", "a", "b");
    for (let round = 0; round < 2; round += 1) {
      await noticed(next, () => mkdir(below, { recursive: true }));
      await noticed(next, () => writeFile(join(below, "c.yaml"), "1"));
      await noticed(next, () => writeFile(join(below, "c.yaml"), "2"));
      await noticed(next, () => rm(join(folder, "manifests", "a"), { recursive: true }));
    }
  });
});

test("of a single file's folder only that file counts, also when it is replaced", async () => {
  await withWatch(async (folder, next, calls) => {
    const before = calls();
    await writeFile(join(folder, "other.json"), "1");
    await delay(60);
    assert.equal(calls(), before);
    for (let round = 0; round < 2; round += 1) {
      await noticed(next, async () => {
        await writeFile(join(folder, "status.json.new"), "1");
        await rename(join(folder, "status.json.new"), join(folder, "status.json"));
      });
    }
  });
});
