/**
 * Local meshes for end-to-end tests: each under a name and in folders of its own, so that tests may run beside each
 * other and beside a user's mesh. A mesh ends with the test that started it, also when that is killed.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineView, PodView } from "../../src/local/control.ts";
import { type Layout, layoutOf, logFile } from "../../src/local/layout.ts";

const root = join(import.meta.dirname, "../..");
/** The built command line tool; `make build` makes it. */
export const meshctl = join(root, "bin/nginx-meshctl");
/** Folder of small server programs for tests, as `workingDir` of manifests. */
export const apps = join(import.meta.dirname, "apps");

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its status. */
export function runProgram(program: string, args: readonly string[], timeout = 120_000): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, [...args], { timeout, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ status, stdout, stderr });
    });
  });
}

export interface TestMesh {
  readonly name: string;
  readonly layout: Layout;
  /** Folder of the manifests; changes are in force at once. */
  readonly folder: string;
  /** Replaces one manifest as an editor does, at once; `undefined` removes it. */
  write(file: string, text: string | undefined): void;
  /** Runs a command in a pod, or in the first pod of a workload. */
  exec(pod: string, ...command: readonly string[]): Promise<Ended>;
  /** Runs a command of `nginx-meshctl` for this mesh. */
  meshctl(...args: readonly string[]): Promise<Ended>;
  /** What the engine says of its pods. */
  view(): Promise<EngineView>;
  pod(name: string): Promise<PodView>;
  /** Resolves with the first view that satisfies; throws with what was not ready in time, and the logs' ends. */
  until(what: string, satisfied: (view: EngineView) => boolean, milliseconds?: number): Promise<EngineView>;
  /** The log so far; the sidecar's is container `sidecar`. */
  log(pod: PodView, container: string): string;
  stop(): Promise<void>;
}

export interface MeshOptions {
  /** More flags for `local up`, as `["--svid-ttl", "30s"]`. */
  readonly flags?: readonly string[];
  /** Default "60s". */
  readonly timeout?: string;
}

let count = 0;

/** Ends the mesh when this process has ended, whatever way. */
function startWatchdog(state: string, folder: string): ChildProcess {
  const script = `cat >/dev/null; "$1" local down --now --state "$2" >/dev/null 2>&1; rm -rf "$2" "$3"`;
  const watchdog = spawn("sh", ["-c", script, "sh", meshctl, state, folder], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // it does not keep this process from ending
  watchdog.unref();
  (watchdog.stdin as Socket | null)?.unref();
  return watchdog;
}

function askEngine(socketPath: string): Promise<EngineView> {
  return new Promise((resolve, reject) => {
    const message = request({ socketPath, path: "/", agent: false, timeout: 10_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(JSON.parse(text) as EngineView));
    });
    message.on("timeout", () => message.destroy(new Error("the engine does not answer")));
    message.on("error", reject).end();
  });
}

function writeManifest(folder: string, file: string, text: string | undefined): void {
  const path = join(folder, file);
  if (text === undefined) {
    rmSync(path);
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(join(folder, ".new"), text);
  renameSync(join(folder, ".new"), path);
}

/** Ends of all logs, for the message of a test that fails. */
function logEnds(layout: Layout, view: EngineView): string {
  const end = (path: string): string => {
    try {
      return readFileSync(path, "utf8").trimEnd().split("\n").slice(-8).join("\n");
    } catch {
      return "(no log)";
    }
  };
  const pods = view.pods.flatMap((pod) =>
    pod.containers.map(({ name }) => {
      return `-- ${pod.namespace}/${pod.name} ${name} (${pod.reason})\n${end(logFile(layout, pod.namespace, pod.name, name))}`;
    }),
  );
  const parts = ["engine", "controller", "nats"].map(
    (name) => `-- ${name}\n${end(join(layout.logs, `${name}.log`))}`,
  );
  return [...pods, ...parts].join("\n");
}

/** Starts a mesh from manifests by file name, and resolves when all of it is ready; else throws what `local up` said. */
export async function startMesh(
  manifests: Readonly<Record<string, string>>,
  options: MeshOptions = {},
): Promise<TestMesh> {
  count += 1;
  const name = `e2e-${process.pid}-${count}`;
  const state = mkdtempSync(join(tmpdir(), "nm-"));
  const folder = mkdtempSync(join(tmpdir(), "nm-manifests-"));
  const layout = layoutOf(state);
  for (const [file, text] of Object.entries(manifests)) {
    writeManifest(folder, file, text);
  }
  const watchdog = startWatchdog(state, folder);
  const ours = ["--name", name, "--state", state];
  const mesh: TestMesh = {
    name,
    layout,
    folder,
    write: (file, text) => writeManifest(folder, file, text),
    exec: (pod, ...command) => mesh.meshctl("local", "exec", pod, "--", ...command),
    meshctl: (...args) => runProgram(meshctl, ["--state", state, ...args]),
    view: () => askEngine(layout.controlSocket),
    async pod(wanted) {
      const { pods } = await mesh.view();
      const found = pods.find((pod) => pod.name === wanted || pod.owner.endsWith(`/${wanted}`));
      if (found === undefined) {
        throw new Error(`there is no pod ${wanted}; there are ${pods.map((pod) => pod.name).join(", ")}`);
      }
      return found;
    },
    async until(what, satisfied, milliseconds = 30_000) {
      const end = Date.now() + milliseconds;
      let view = await mesh.view();
      while (!satisfied(view)) {
        if (Date.now() > end) {
          throw new Error(`not so after ${milliseconds / 1000} s: ${what}\n${logEnds(layout, view)}`);
        }
        await sleep(20);
        view = await mesh.view();
      }
      return view;
    },
    log: (pod, container) => readFileSync(logFile(layout, pod.namespace, pod.name, container), "utf8"),
    async stop() {
      const ended = await runProgram(meshctl, ["local", "down", ...ours]);
      watchdog.stdin?.end();
      if (ended.status !== 0) {
        throw new Error(`"local down" failed: ${ended.stderr}`);
      }
      rmSync(folder, { recursive: true, force: true });
      rmSync(state, { recursive: true, force: true });
    },
  };
  const up = await runProgram(
    meshctl,
    ["local", "up", "-f", folder, "--timeout", options.timeout ?? "60s", ...ours, ...(options.flags ?? [])],
    600_000,
  );
  if (up.status !== 0) {
    const why = await mesh.view().then(
      (view) => logEnds(layout, view),
      () => "",
    );
    await mesh.stop().catch(() => undefined);
    throw new Error(`"local up" ended with status ${up.status}:\n${up.stdout}${up.stderr}\n${why}`);
  }
  return mesh;
}
