/** Runs functions of a test inside a pod, with the clients of apps/tools.ts at hand. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type * as tools from "./apps/tools.ts";
import { apps, meshctl, type TestMesh } from "./mesh.ts";

export type Tools = typeof tools;

export interface PodClient {
  /**
   * Calls the function in the pod. It sees nothing of the test's surroundings: what it needs comes as `argument`, and
   * argument and result are JSON.
   */
  run<A, R>(work: (tools: Tools, argument: A) => Promise<R>, argument: A): Promise<R>;
  stop(): void;
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** A process in the pod, or in the first pod of a workload, that stays until it is stopped. */
export function startPodClient(mesh: TestMesh, pod: string): PodClient {
  const args = ["--state", mesh.layout.state, "local", "exec", pod, "--", "node", join(apps, "agent.ts")];
  const child = spawn(meshctl, args, { stdio: ["pipe", "pipe", "inherit"] });
  const pending = new Map<number, Pending>();
  let next = 0;
  let ended = false;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, value, error } = JSON.parse(line) as { id: number; value: never; error?: string };
    const asked = pending.get(id);
    pending.delete(id);
    if (error === undefined) {
      asked?.resolve(value);
    } else {
      asked?.reject(new Error(`in pod ${pod}: ${error}`));
    }
  });
  child.on("close", (status) => {
    ended = true;
    pending.forEach(({ reject }) =>
      reject(new Error(`the client in pod ${pod} ended with status ${status}`)),
    );
    pending.clear();
  });
  child.stdin.on("error", () => undefined);
  return {
    run<A, R>(work: (given: Tools, argument: A) => Promise<R>, argument: A): Promise<R> {
      const id = next;
      next += 1;
      return new Promise<R>((resolve, reject) => {
        if (ended) {
          reject(new Error(`the client in pod ${pod} has ended`));
          return;
        }
        pending.set(id, { resolve, reject });
        child.stdin.write(`${JSON.stringify({ id, source: work.toString(), argument })}\n`);
      });
    },
    stop: () => child.stdin.end(),
  };
}
