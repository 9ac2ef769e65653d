/** The mesh of the demo, through the command line tool that everybody uses. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

const tool = join(import.meta.dirname, "../../bin/nginx-meshctl");

export const meshName = "demo";

export interface DemoMesh {
  /** Starts the mesh and waits until every pod is ready; its progress is shown. Resolves to the exit status. */
  up(manifests: string): Promise<number>;
  /** Interrupts what still starts, and stops the mesh; throws with what the tool said when that fails. */
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

export function createMesh(): DemoMesh {
  let starting: Running | undefined;
  return {
    async up(manifests) {
      starting = start(["local", "up", "-f", manifests, "--name", meshName], "inherit");
      const { status } = await starting.ended;
      starting = undefined;
      return status;
    },
    async down() {
      if (starting !== undefined) {
        starting.child.kill("SIGINT");
        await starting.ended;
        return;
      }
      const { status, text } = await start(["local", "down", "--name", meshName], "pipe").ended;
      if (status !== 0) {
        throw new Error(
          `"nginx-meshctl local down --name ${meshName}" ended with status ${status}: ${text.trim()}`,
        );
      }
    },
  };
}
