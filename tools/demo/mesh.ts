/** The mesh of the demo, through the command line tool that everybody uses. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { exitStatus } from "../../src/cli/errors.ts";
import { layoutOf, stateRoot } from "../../src/local/layout.ts";

const tool = join(import.meta.dirname, "../../bin/nginx-meshctl");

export interface DemoMesh {
  readonly name: string;
  /** State folder. */
  readonly state: string;
  /** Starts the mesh and waits until every pod is ready; its progress is shown. Resolves to the exit status. */
  up(manifests: string): Promise<number>;
  /** Interrupts what still starts, and stops the mesh if it was started; throws with what the tool said when that fails. */
  down(): Promise<void>;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly status: number; readonly text: string }>;
}

/** The tool's output goes to the user, or is kept. In a group of its own: Ctrl-C is for the demo, which then stops it. */
function start(args: readonly string[], output: "inherit" | "pipe"): Running {
  const child = spawn(tool, args, { stdio: ["ignore", output, output], detached: true });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  }
  const ended = new Promise<{ status: number; text: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ status: code ?? 1, text }));
  });
  return { child, ended };
}

/** `demo`, or `demo-2`, … where demos that were kept are still running. */
function freeName(): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? "demo" : `demo-${number}`;
    if (!existsSync(layoutOf(join(stateRoot, name)).controlSocket)) {
      return name;
    }
  }
}

export function createMesh(): DemoMesh {
  const name = freeName();
  let starting: Running | undefined;
  let started = false;
  return {
    name,
    state: join(stateRoot, name),
    async up(manifests) {
      starting = start(["local", "up", "-f", manifests, "--name", name], "inherit");
      const { status } = await starting.ended;
      starting = undefined;
      started = status !== exitStatus.notDone;
      return status;
    },
    async down() {
      if (starting !== undefined) {
        starting.child.kill("SIGINT");
        await starting.ended;
      }
      if (!started) {
        return;
      }
      const { status, text } = await start(["local", "down", "--name", name], "pipe").ended;
      if (status !== 0) {
        throw new Error(
          `"nginx-meshctl local down --name ${name}" ended with status ${status}: ${text.trim()}`,
        );
      }
    },
  };
}
