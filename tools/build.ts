/** Builds what ships: the sidecar's Lua and configuration, and one bundle for each program. Quick when nothing changed. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { parse } from "yaml";
import { tar } from "../src/cli/tar.ts";

const root = join(import.meta.dirname, "..");
const output = join(root, "build");

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

const programs = [
  { name: "controller", entry: "src/controller/main.ts" },
  { name: "kubernetes-controller", entry: "src/controller/kubernetes/main.ts" },
  { name: "nats-files", entry: "src/identity/nats-files-main.ts" },
  { name: "local", entry: "src/local/main.ts" },
  { name: "nginx-meshctl", entry: "src/cli/main.ts" },
];

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) {
    return [];
  }
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function hashOf(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) {
    hash.update(file).update("\0").update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

/** Runs `make` when the files differ from those of the last time that it succeeded. */
async function whenChanged(
  name: string,
  files: readonly string[],
  make: () => void | Promise<void>,
): Promise<void> {
  const stamp = join(output, `.${name}.hash`);
  const hash = hashOf(files);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) {
    return;
  }
  rmSync(stamp, { force: true });
  console.log(`  build     ${name}`);
  await make();
  writeFileSync(stamp, hash);
}

const sources = filesBelow(join(root, "src"));
const settings = [join(root, "package-lock.json"), join(root, "tools/build.ts")];
const isSidecar = (file: string): boolean => file.startsWith(join(root, "src/sidecar/"));
const isWire = (file: string): boolean => file.startsWith(join(root, "src/wire/"));
const isTest = (file: string): boolean => file.endsWith(".test.ts");

mkdirSync(join(output, "sidecar"), { recursive: true });

const sidecarSources = sources.filter((file) => (isSidecar(file) || isWire(file)) && !isTest(file));
await whenChanged("sidecar", [...sidecarSources, ...settings], () => {
  const lua = join(output, "sidecar/lua");
  const fresh = join(output, `.lua.${process.pid}`);
  const compiler = join(root, "node_modules/.bin/tstl");
  const project = join(root, "src/sidecar/tsconfig.json");
  execFileSync(process.execPath, [compiler, "-p", project, "--outDir", fresh], { stdio: "inherit" });
  rmSync(lua, { recursive: true, force: true });
  renameSync(fresh, lua);
  cpSync(join(root, "src/sidecar/conf"), join(output, "sidecar"), { recursive: true });
});

// `sidecar` as argument: that and nothing else
const only = process.argv[2];
for (const program of programs) {
  if (only === "sidecar" || !existsSync(join(root, program.entry))) {
    continue;
  }
  const inputs = sources.filter(
    (file) => file.endsWith(".ts") && !isTest(file) && (!isSidecar(file) || isWire(file)),
  );
  await whenChanged(program.name, [...inputs, ...settings], async () => {
    await build({
      entryPoints: [join(root, program.entry)],
      outfile: join(output, `${program.name}.mjs`),
      bundle: true,
      platform: "node",
      target: "node24",
      format: "esm",
      minifySyntax: true,

      legalComments: "linked",
      sourcemap: "linked",
      logLevel: "warning",
      // libraries in CommonJS call require for Node's own modules
      define: { NGINX_MESH_VERSION: JSON.stringify(version) },
      banner: {
        js: 'import { createRequire as nodeCreateRequire } from "node:module"; const require = nodeCreateRequire(import.meta.url);',
      },
    });
  });
}

/**
 * The form that helm reads: the chart's folder in a compressed tar archive; equal files give equal bytes. Beside it the
 * definitions of its kinds, which helm installs but does not upgrade.
 */
const chart = join(root, "charts/nginx-mesh");
if (only !== "sidecar" && existsSync(chart)) {
  const files = filesBelow(chart).filter((file) => !isTest(file));
  await whenChanged("chart", [...files, ...settings], () => {
    const entries = files.map((file) => ({
      type: "file" as const,
      path: join("nginx-mesh", relative(chart, file)),
      mode: 0o644,
      content: readFileSync(file),
    }));
    writeFileSync(join(output, "nginx-mesh-chart.tgz"), gzipSync(tar(entries, 0), { level: 9 }));
    const kinds = files.filter((file) => file.startsWith(join(chart, "crds/")));
    const parsed = kinds.map((file) => parse(readFileSync(file, "utf8")) as unknown);
    writeFileSync(join(output, "nginx-mesh-crds.json"), JSON.stringify(parsed));
  });
}
