/** The compiled Lua, brought up to date when its sources are newer. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
/** What the sidecar ships. */
export const sidecarLua = join(root, "build/sidecar/lua");
const scenarioLua = join(root, "build/test/lua");
export const driver = join(import.meta.dirname, "driver.lua");

function newest(folders: readonly string[], ending: string): number {
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(({ name }) => name.endsWith(ending) && !name.endsWith(".test.ts"))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

function compileWhenStale(project: string, sources: readonly string[], result: string): void {
  if (existsSync(result) && statSync(result).mtimeMs >= newest(sources, ".ts")) {
    return;
  }
  execFileSync(process.execPath, [join(root, "node_modules/.bin/tstl"), "-p", join(root, project)], {
    stdio: "inherit",
  });
}

/** The folder of the sidecar's Lua. */
export function buildSidecarLua(): string {
  const sources = ["src/sidecar/logic", "src/sidecar/host", "src/sidecar/phases", "src/wire"];
  // of the files, one that is written late; tstl writes them all
  const result = join(sidecarLua, "sidecar/phases/worker.lua");
  compileWhenStale(
    "src/sidecar/tsconfig.json",
    sources.map((folder) => join(root, folder)),
    result,
  );
  return sidecarLua;
}

/** LUA_PATH with which the driver finds the sidecar's logic and the scenarios. */
export function buildScenarios(): string {
  const folders = [buildSidecarLua(), scenarioLua];
  compileWhenStale(
    "test/lua/tsconfig.json",
    [import.meta.dirname],
    join(scenarioLua, "test/lua/scenarios.lua"),
  );
  return folders.map((folder) => `${folder}/?.lua`).join(";");
}
