/**
 * A cluster for tests: that of KUBECONFIG, whatever it is. Each test has a namespace of its own that vanishes with it; when a test
 * fails, its namespace says what happened in it.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { describeNamespace } from "./diagnostics.ts";

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Image with the application of testbed/go/app; another cluster has it under another name. */
export const appImage = process.env["TEST_APP_IMAGE"] ?? "testbed.local/app:1";
export const vaultImage = process.env["TEST_VAULT_IMAGE"] ?? "testbed.local/vault:1.13.0";

export interface ProgramOptions {
  readonly input?: string;
  /** Seconds; 60 when absent. */
  readonly timeout?: number;
}

/** Runs a program to its end, whatever its status; -1 when it did not end in time. */
export function attempt(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const settings = { timeout: (options.timeout ?? 60) * 1000, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(program, [...args], settings, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ status, stdout, stderr });
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? "");
  });
}

/** Standard output of a program that succeeds; throws with what it said otherwise. */
export async function run(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const ended = await attempt(program, args, options);
  if (ended.status !== 0) {
    const words = ended.stderr.trim() || ended.stdout.trim();
    throw new Error(`"${program} ${args.join(" ")}" ended with ${ended.status}: ${words.slice(-4000)}`);
  }
  return ended.stdout;
}

export const kubectl = (...args: readonly string[]): Promise<string> => run("kubectl", args);
export const helm = (...args: readonly string[]): Promise<string> => run("helm", args, { timeout: 300 });

/** Fields that tests read; the rest of an object is there too. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  // oxlint-disable-next-line no-explicit-any -- of any kind; a test knows which
  readonly [field: string]: any;
}

export async function getObject(...args: readonly string[]): Promise<KubernetesObject> {
  return JSON.parse(await kubectl("get", "-o", "json", ...args)) as KubernetesObject;
}

export async function getObjects(...args: readonly string[]): Promise<readonly KubernetesObject[]> {
  return (await getObject(...args))["items"] as readonly KubernetesObject[];
}

/** A machine that does other work too takes longer; only a test that fails waits so long. */
const slowness = 3;

/** Waits until `check` gives something other than undefined; throws with `what` and the last thing that was missing. */
export async function until<T>(
  what: string,
  seconds: number,
  check: () => Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + seconds * slowness * 1000;
  let last = "";
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined) {
        return value;
      }
    } catch (error) {
      last = `: ${(error as Error).message}`;
    }
    if (Date.now() > end) {
      throw new Error(`${what}: not within ${seconds * slowness} s${last}`);
    }
    await sleep(200);
  }
}

export interface Namespace {
  readonly name: string;
  kubectl(...args: readonly string[]): Promise<string>;
  /** Objects in this namespace unless they name another. */
  apply(...objects: readonly object[]): Promise<void>;
  /** Waits for the rollout of each workload, as "deployment/web". */
  ready(...workloads: readonly string[]): Promise<void>;
  pods(selector?: string): Promise<readonly KubernetesObject[]>;
  /** Runs a program in a container of the first pod that is ready. */
  exec(selector: string, container: string, ...command: readonly string[]): Promise<Ended>;
}

/** A new namespace for the time of `body`. */
export async function inNamespace(
  labels: Readonly<Record<string, string>>,
  body: (namespace: Namespace) => Promise<void>,
): Promise<void> {
  const name = `test-${randomBytes(4).toString("hex")}`;
  await applyObjects([{ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }]);
  try {
    await described(name, () => body(namespaceNamed(name)));
  } finally {
    await kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found");
  }
}

/** Shows what the namespace looks like when `body` fails: for tests inside of a test, whose failure nobody else sees. */
export async function described(namespace: string, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    console.error(await describeNamespace(namespace));
    throw error;
  }
}

async function applyObjects(objects: readonly object[], ...args: readonly string[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
  await run("kubectl", ["apply", "-f", "-", ...args], { input });
}

export function namespaceNamed(name: string): Namespace {
  const own = (...args: readonly string[]): Promise<string> => kubectl("--namespace", name, ...args);
  const pods = async (selector?: string): Promise<readonly KubernetesObject[]> => {
    const chosen = selector === undefined ? [] : ["--selector", selector];
    return getObjects("--namespace", name, "pods", ...chosen);
  };
  return {
    name,
    kubectl: own,
    pods,
    apply: (...objects) => applyObjects(objects, "--namespace", name),
    async ready(...workloads) {
      for (const workload of workloads) {
        const args = ["--namespace", name, "rollout", "status", workload, "--timeout=120s"];
        await run("kubectl", args, { timeout: 130 });
      }
    },
    async exec(selector, container, ...command) {
      const pod = await until(`a ready pod of ${selector}`, 60, async () =>
        (await pods(selector)).find(isReady),
      );
      const where = ["--namespace", name, "exec", pod.metadata.name, "--container", container, "--"];
      return attempt("kubectl", [...where, ...command]);
    },
  };
}

export function isReady(pod: KubernetesObject): boolean {
  const conditions = (pod["status"]?.conditions ?? []) as readonly { type: string; status: string }[];
  const isThere = pod.metadata.deletionTimestamp === undefined;
  return isThere && conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
