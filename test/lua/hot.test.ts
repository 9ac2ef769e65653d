import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { buildSidecarLua, sidecarLua } from "./built.ts";

/** What runs for each connection or request. */
const hot = [
  "sidecar/host/world.lua",
  "sidecar/logic/actions.lua",
  "sidecar/logic/balancer.lua",
  "sidecar/logic/incoming.lua",
  "sidecar/logic/keys.lua",
  "sidecar/logic/mesh.lua",
  "sidecar/logic/outgoing.lua",
  "sidecar/logic/route.lua",
  "sidecar/logic/statistics.lua",
  "sidecar/phases/worker.lua",
];

before(() => {
  buildSidecarLua();
});

for (const file of hot) {
  test(`${file} calls no helper of the compiler`, () => {
    const lines = readFileSync(join(sidecarLua, file), "utf8").split("\n");
    const found = lines.flatMap((line, i) => (line.includes("__TS__") ? [`${i + 1}: ${line.trim()}`] : []));
    assert.deepEqual(
      found,
      [],
      "write it so that it compiles to plain Lua, or move it to a file that is not hot",
    );
  });
}
