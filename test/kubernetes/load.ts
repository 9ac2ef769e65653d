/** Steady load from a pod, and what came of it. */
import assert from "node:assert/strict";
import { appContainer } from "./app.ts";
import { attempt, kubectl, type Namespace, until } from "./fixture.ts";

export interface LoadResult {
  readonly sent: number;
  readonly failed: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly pods: Readonly<Record<string, number>>;
  readonly versions: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly at: string; readonly error: string }[];
  readonly slowestMs: number;
}

export interface LoadOptions {
  readonly name: string;
  readonly url: string;
  /** Requests a second. */
  readonly rate?: number;
  /** A new connection for each request. */
  readonly fresh?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** Fields of the pod's spec. */
  readonly pod?: object;
}

export interface Load {
  /** Ends the load; its pod stays for its log. */
  stop(): Promise<LoadResult>;
}

/** Status of a program that SIGKILL ended. */
const killed = 137;

/** Starts the load in a pod of its own and returns once it runs. */
export async function startLoad(namespace: Namespace, options: LoadOptions): Promise<Load> {
  const { name } = options;
  const fresh = options.fresh === true ? ["-fresh"] : [];
  const args = ["load", "-url", options.url, "-rate", String(options.rate ?? 50), ...fresh];
  await namespace.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name, ...options.labels } },
    spec: { restartPolicy: "Never", containers: [appContainer(args)], ...options.pod },
  });
  await until(`pod ${name} runs`, 60, async () => {
    const phase = await namespace.kubectl("get", "pod", name, "--output=jsonpath={.status.phase}");
    return phase === "Running" ? true : undefined;
  });
  return {
    async stop() {
      const where = ["--namespace", namespace.name];
      // process 1 of the container ends with its result on standard output
      const kill = ["exec", name, "--container=app", "--", "kill", "-TERM", "1"];
      const ended = await attempt("kubectl", [...where, ...kill]);
      // when process 1 ends at once, what was run beside it is killed before it can say that all went well
      if (ended.status !== 0 && ended.status !== killed) {
        throw new Error(`cannot end the load of ${name}: ${ended.stderr}`);
      }
      return until(`the result of ${name}`, 30, async () => {
        const log = await kubectl(...where, "logs", name, "--container=app");
        const line = log.split("\n").find((each) => each.startsWith("{"));
        return line === undefined ? undefined : (JSON.parse(line) as LoadResult);
      });
    },
  };
}

/** Throws with the first failures, when there are any or when there was no load worth the name. */
export function assertNoneFailed(result: LoadResult, atLeast: number): void {
  assert.ok(result.sent >= atLeast, `only ${result.sent} requests were sent, ${atLeast} were expected`);
  const failures = result.failures.map(({ at, error }) => `  ${at} ${error}`).join("\n");
  assert.equal(result.failed, 0, `${result.failed} of ${result.sent} requests failed:\n${failures}`);
}
