/** The programs of the test bed that are built from source: pinned Go modules, each built once and kept by what it is made from. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { logEnd, BedError } from "./errors.ts";

interface GoModule {
  readonly packages: readonly string[];
  /** Names of the programs where they are not the last element of the package. */
  readonly names?: readonly string[];
  /** Sqlite is C: linked statically, so that the program runs in an image without a C library. */
  readonly cgo?: boolean;
  readonly linkerFlags?: string;
}

const kubernetesVersion = "v1.37.2";
const versionPackage = "k8s.io/component-base/version";

/** By the name of the folder in testbed/go; the order is that of need, so that what is wanted first is built first. */
const modules = {
  etcd: { packages: ["go.etcd.io/etcd/server/v3"], names: ["etcd"] },
  containerd: {
    packages: ["containerd", "containerd-shim-runc-v2", "ctr"].map(
      (name) => `github.com/containerd/containerd/v2/cmd/${name}`,
    ),
  },
  kubernetes: {
    packages: [
      "kube-apiserver",
      "kube-controller-manager",
      "kube-scheduler",
      "kubelet",
      "kube-proxy",
      "kubectl",
    ].map((name) => `k8s.io/kubernetes/cmd/${name}`),
    linkerFlags: [
      `-X ${versionPackage}.gitVersion=${kubernetesVersion}`,
      `-X ${versionPackage}.gitMajor=1 -X ${versionPackage}.gitMinor=37`,
    ].join(" "),
  },
  coredns: { packages: ["testbed/coredns"] },
  helm: { packages: ["helm.sh/helm/v3/cmd/helm"] },
  helm4: { packages: ["helm.sh/helm/v4/cmd/helm"] },
  kubeconform: { packages: ["github.com/yannh/kubeconform/cmd/kubeconform"] },
  "spire-agent": { packages: ["github.com/spiffe/spire/cmd/spire-agent"] },
  "spire-controller-manager": {
    packages: ["github.com/spiffe/spire-controller-manager/cmd"],
    names: ["spire-controller-manager"],
  },
  "spire-server": { packages: ["github.com/spiffe/spire/cmd/spire-server"], cgo: true },
  vault: { packages: ["github.com/hashicorp/vault"] },
  app: { packages: ["testbed/app"] },
} as const satisfies Readonly<Record<string, GoModule>>;

export type ModuleName = keyof typeof modules;
export const moduleNames = Object.keys(modules) as readonly ModuleName[];

/** Server and agent of SPIRE are one module, built apart since only one of them needs C. */
function folderOf(name: ModuleName): string {
  return name === "spire-agent" || name === "spire-server" ? "spire" : name;
}

function nameOf(module: GoModule, at: number): string {
  return module.names?.[at] ?? basename(module.packages[at] ?? "");
}

export interface Programs {
  /** Path of a program. Throws BedError when no module has it. */
  path(program: string): string;
  /** Folder of each module that is built, for PATH. */
  readonly folders: readonly string[];
}

export interface BuildOptions {
  /** Folder `testbed/go`. */
  readonly source: string;
  /** Where results, downloaded modules and the compiler's cache are kept. */
  readonly cache: string;
  readonly wanted: readonly ModuleName[];
  readonly onBuild: (name: string) => void;
}

/** Builds what is missing, one module after the other. Throws BedError with the end of the compiler's output. */
export async function buildPrograms(options: BuildOptions): Promise<Programs> {
  const folders = new Map<ModuleName, string>();
  for (const name of options.wanted) {
    folders.set(name, await buildModule(name, options));
  }
  return {
    folders: [...folders.values()],
    path(program) {
      const found = [...folders.values()]
        .map((folder) => join(folder, program))
        .find((file) => existsSync(file));
      if (found === undefined) {
        throw new BedError(`the program ${program} is in none of the modules ${options.wanted.join(", ")}`);
      }
      return found;
    },
  };
}

async function buildModule(name: ModuleName, { source, cache, onBuild }: BuildOptions): Promise<string> {
  const module: GoModule = modules[name];
  const folder = join(source, folderOf(name));
  const hash = createHash("sha256").update(JSON.stringify(module));
  for (const file of readdirSync(folder).sort()) {
    hash
      .update(file)
      .update("\0")
      .update(readFileSync(join(folder, file)))
      .update("\0");
  }
  const target = join(cache, "programs", `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(target)) {
    return target;
  }
  onBuild(name);
  removeUnfinished(join(cache, "programs"), name);
  const work = `${target}.${process.pid}`;
  mkdirSync(work, { recursive: true });
  const log = join(cache, "programs", `${name}.log`);
  for (const [at, path] of module.packages.entries()) {
    await compile({ module, path, output: join(work, nameOf(module, at)), folder, cache, log });
  }
  // by a rename: a build that was interrupted leaves nothing that looks complete
  try {
    renameSync(work, target);
  } catch {
    rmSync(work, { recursive: true, force: true });
  }
  return target;
}

/** Folders of builds that were interrupted: they end in the number of a process that is gone. */
function removeUnfinished(folder: string, name: string): void {
  const pattern = new RegExp(`^${name}-[0-9a-f]{16}\\.(\\d+)$`);
  for (const entry of existsSync(folder) ? readdirSync(folder) : []) {
    const pid = pattern.exec(entry)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      rmSync(join(folder, entry), { recursive: true, force: true });
    }
  }
}

interface Compilation {
  readonly module: GoModule;
  readonly path: string;
  readonly output: string;
  readonly folder: string;
  readonly cache: string;
  readonly log: string;
}

function compile({ module, path, output, folder, cache, log }: Compilation): Promise<void> {
  const isC = module.cgo === true;
  const linker = `-s -w ${module.linkerFlags ?? ""} ${isC ? "-linkmode external -extldflags -static" : ""}`;
  const tags = isC ? ["-tags", "netgo,osusergo"] : [];
  const args = ["build", "-trimpath", ...tags, "-ldflags", linker.trim(), "-o", output, path];
  const file = openSync(log, "w");
  const child = spawn("go", args, {
    cwd: folder,
    stdio: ["ignore", file, file],
    env: {
      ...process.env,
      // Go's own archive installs to /usr/local/go, which is not in every PATH
      PATH: `${process.env["PATH"] ?? ""}:/usr/local/go/bin`,
      CGO_ENABLED: isC ? "1" : "0",
      GOFLAGS: "-mod=readonly -modcacherw -buildvcs=false",
      GOMODCACHE: join(cache, "go/mod"),
      GOCACHE: join(cache, "go/build"),
    },
  });
  return new Promise((resolve, reject) => {
    child.on("error", (cause) => {
      reject(new BedError(`cannot run go: ${cause.message}; is the package golang-go installed?`, { cause }));
    });
    child.on("close", (status) => {
      if (status === 0) {
        resolve();
      } else {
        reject(new BedError(`building ${path} failed (go ended with ${status}).\n${logEnd(log)}`));
      }
    });
  });
}
