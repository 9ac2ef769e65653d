import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkStateFolder } from "./host.ts";
import { layoutOf } from "./layout.ts";

const folders: readonly (readonly [string, readonly string[], string | undefined])[] = [
  ["is empty", [], undefined],
  ["has a mesh's record", ["engine.json", "logs/engine.log", "ca/key"], undefined],
  ["has a mesh's lock", ["engine.lock"], undefined],
  ["has what a mesh left that was killed at once", ["logs/engine.log"], undefined],
  ["has logs of something else", ["logs/app.log"], "logs"],
  ["has a log like a mesh's, and more", ["logs/engine.log", "photo.jpg"], "photo.jpg"],
];

for (const [title, files, strange] of folders) {
  test(`a state folder that ${title} is ${strange === undefined ? "taken" : "refused"}`, () => {
    const state = mkdtempSync(join(tmpdir(), "state-"));
    for (const file of files) {
      mkdirSync(join(state, file, ".."), { recursive: true });
      writeFileSync(join(state, file), "");
    }
    try {
      if (strange === undefined) {
        checkStateFolder(layoutOf(state));
      } else {
        assert.throws(() => checkStateFolder(layoutOf(state)), new RegExp(`it holds ${strange}, which`));
      }
    } finally {
      rmSync(state, { recursive: true });
    }
  });
}
