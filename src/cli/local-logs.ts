/** `local logs`: what a pod's processes wrote. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { logFile } from "../local/layout.ts";
import { CommandError } from "./errors.ts";
import { globalOptions } from "./global-options.ts";
import { engineStatus, findPod, podNamespace, runningMesh } from "./local-mesh.ts";

/** Parts of the mesh that are no pods. */
const parts = new Set(["controller", "nats", "engine"]);

export function localLogsCommand(): Command {
  return new Command("logs")
    .summary("logs of a pod, or of a part of the mesh")
    .description(
      "Prints the log of a pod's first container. POD is a pod, or a workload: its first pod; or controller, nats or engine.",
    )
    .argument("<pod>", "pod, namespace/pod, workload; or controller, nats, engine")
    .option("-c, --container <name>", 'container; "sidecar" for the sidecar')
    .option("-f, --follow", "go on as the log grows")
    .option("--tail <lines>", "only the last lines")
    .action(
      async (
        name: string,
        options: { container?: string; follow?: boolean; tail?: string },
        command: Command,
      ) => {
        const mesh = await runningMesh(command);
        let path = join(mesh.layout.logs, `${name}.log`);
        if (!parts.has(name)) {
          const view = await engineStatus(mesh, globalOptions(command).timeout);
          const pod = findPod(view, name, podNamespace(command));
          const first = pod.containers.find((container) => container.name !== "sidecar")?.name;
          path = logFile(mesh.layout, pod.namespace, pod.name, options.container ?? first ?? "sidecar");
        }
        if (!existsSync(path)) {
          throw new CommandError(
            `there is no log ${path}: the container has not been started, or has another name`,
          );
        }
        const lines = options.tail ?? (options.follow === true ? "20" : "+1");
        const child = spawn("tail", ["-n", lines, ...(options.follow === true ? ["-F"] : []), path], {
          stdio: "inherit",
        });
        process.exitCode = await new Promise<number>((done) =>
          child.on("close", (status) => done(status ?? 0)),
        );
      },
    );
}
