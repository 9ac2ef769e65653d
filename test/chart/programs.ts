/** The judges: helm and kubeconform, and the API that Kubernetes publishes. Built once and kept, as the test bed's programs. */
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildPrograms, type ModuleName } from "../../testbed/programs.ts";

const checkout = join(import.meta.dirname, "../..");
export const cache = process.env["NGINX_MESH_CACHE"] ?? "/var/cache/nginx-mesh";
export const chart = join(checkout, "charts/nginx-mesh");
/** Without it helm, built from source, thinks of an old cluster. */
export const kubeVersion = "1.37.2";

/** Folder of a module of testbed/go with its programs. */
export async function built(name: ModuleName): Promise<string> {
  const { folders } = await buildPrograms({
    source: join(checkout, "testbed/go"),
    cache,
    wanted: [name],
    onBuild: (each) => console.log(`building ${each}, once`),
  });
  return folders[0]!;
}

export const helms = {
  "helm 3": join(await built("helm"), "helm"),
  "helm 4": join(await built("helm4"), "helm"),
} as const;
export const kubeconform = join(await built("kubeconform"), "kubeconform");

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function attempt(program: string, args: readonly string[], input = ""): Ended {
  const ended = spawnSync(program, args, { encoding: "utf8", input, maxBuffer: 64 * 1024 * 1024 });
  return { status: ended.status ?? -1, stdout: ended.stdout, stderr: ended.stderr };
}

/** Folder with the source of a Go module that a module of testbed/go needs. */
export function moduleFolder(user: string, module: string): string {
  const folder = execFileSync("go", ["list", "-m", "-f", "{{.Dir}}", module], {
    encoding: "utf8",
    cwd: join(checkout, "testbed/go", user),
    env: {
      ...process.env,
      PATH: `${process.env["PATH"]}:/usr/local/go/bin`,
      GOFLAGS: "-mod=mod -modcacherw",
      GOMODCACHE: join(cache, "go/mod"),
      GOCACHE: join(cache, "go/build"),
    },
  });
  return folder.trim();
}

/** `api/openapi-spec/swagger.json` of the Kubernetes that the test bed builds. */
export function swaggerFile(): string {
  return join(moduleFolder("kubernetes", "k8s.io/kubernetes"), "api/openapi-spec/swagger.json");
}
