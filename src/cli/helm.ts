/** The helm program: finding it, and running it against the cluster that this command is about. */
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

import { CommandError } from "./errors.ts";
import type { Cluster } from "./kubeconfig.ts";

export interface Helm {
  readonly path: string;
  /** `3.22.0`. */
  readonly version: string;
}

export interface HelmRun {
  /** Written to its standard input: values, which so never are arguments or files. */
  readonly input?: string;
  /** Milliseconds; it is ended after that. */
  readonly timeout: number;
}

/** The oldest that can keep a user's values while the chart's defaults change (`--reset-then-reuse-values`). */
const oldest = { major: 3, minor: 14 } as const;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `$HELM`, else the first `helm` of the path. Throws CommandError when there is none, or one that is too old. */
export async function findHelm(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Helm> {
  const folders = (environment.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const candidates = environment.HELM ? [environment.HELM] : folders.map((folder) => join(folder, "helm"));
  const path = candidates.find(isExecutable);
  if (path === undefined) {
    throw new CommandError(
      environment.HELM
        ? `$HELM names ${environment.HELM}, which cannot be run`
        : `this command needs helm ${oldest.major}.${oldest.minor} or newer, and there is none in the path; install it (https://helm.sh/docs/intro/install/), or name its file with $HELM`,
    );
  }
  const { stdout } = await run(path, ["version", "--template", "{{.Version}}"], { timeout: 10_000 });
  const match = /^v?(\d+)\.(\d+)/.exec(stdout.trim());
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || major < oldest.major || (major === oldest.major && minor < oldest.minor)) {
    throw new CommandError(
      `${path} is helm ${stdout.trim() || "of an unknown version"}; ${oldest.major}.${oldest.minor} or newer is needed`,
    );
  }
  return { path, version: stdout.trim().replace(/^v/, "") };
}

/** What helm prints. Throws CommandError with what it says when it fails. */
export async function runHelm(
  helm: Helm,
  cluster: Cluster,
  args: readonly string[],
  options: HelmRun,
): Promise<string> {
  const place = cluster.files.length === 0 ? [] : ["--kube-context", cluster.context];
  // kept for hours otherwise, and does not know of kinds that were made since
  const discovery = mkdtempSync(join(tmpdir(), "nginx-meshctl-"));
  const environment = {
    ...process.env,
    KUBECACHEDIR: discovery,
    ...(cluster.files.length === 0 ? {} : { KUBECONFIG: cluster.files.join(delimiter) }),
  };
  try {
    const { stdout } = await run(helm.path, [...args, ...place], options, environment);
    return stdout;
  } finally {
    rmSync(discovery, { recursive: true, force: true });
  }
}

/** An interrupted helm leaves a half-done release: it gets the signal too, and this program waits for its end. */
function run(
  path: string,
  args: readonly string[],
  { input, timeout }: HelmRun,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<{ readonly stdout: string }> {
  return new Promise((resolve, reject) => {
    const what = `"helm ${args.slice(0, 2).join(" ")}"`;
    const child = spawn(path, args, { env: environment, timeout, stdio: ["pipe", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    const wait = (): void => undefined;
    process.on("SIGINT", wait);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    child.on("error", (error) => {
      process.off("SIGINT", wait);
      reject(new CommandError(`cannot run ${path}: ${error.message}`, { cause: error }));
    });
    child.on("close", (status, signal) => {
      process.off("SIGINT", wait);
      if (status === 0) {
        resolve({ stdout });
        return;
      }
      const end = signal === null ? `failed with status ${status}` : `was ended by ${signal}`;
      reject(new CommandError(`${what} ${end}: ${saidBy(stderr)}`));
    });
    // a helm that ends before it has read everything says why by itself
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}

/** Helm's own error without its warnings. */
function saidBy(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "" && !/^(WARNING|W\d{4} )/.test(line));
  return lines.join("\n").replace(/^Error: /, "") || "it said nothing";
}
