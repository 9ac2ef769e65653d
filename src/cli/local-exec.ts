/** `local exec`: runs a command as if in a pod. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { Command } from "commander";
import type { PodView } from "../local/control.ts";
import { enginePid } from "../local/host.ts";
import { containerLaunch } from "../local/launch.ts";
import { podFolder } from "../local/layout.ts";
import { CommandError } from "./errors.ts";
import { globalOptions } from "./global-options.ts";
import { engineStatus, findPod, podNamespace, runningMesh, type RunningMesh } from "./local-mesh.ts";

function inContainer(mesh: RunningMesh, pod: PodView, command: readonly string[]): readonly string[] {
  const folder = podFolder(mesh.layout, pod.number);
  const launch = containerLaunch({
    number: pod.number,
    state: mesh.layout.state,
    resolvConf: join(folder, "resolv.conf"),
    hosts: join(folder, "hosts"),
    root: undefined,
    workingDirectory: pod.workingDirectory,
    user: 0,
    group: 0,
    command,
    environment: {},
  });
  return [launch.program, ...launch.args];
}

function inSidecar(pod: PodView, command: readonly string[]): readonly string[] {
  const sidecar = pod.containers.find((container) => container.name === "sidecar");
  if (sidecar?.pid === undefined) {
    throw new CommandError(`pod ${pod.namespace}/${pod.name} has no running sidecar`);
  }
  return ["nsenter", "--target", String(sidecar.pid), "--mount", "--net", "--root", "--", ...command];
}

export function localExecCommand(): Command {
  return new Command("exec")
    .summary("run a command in a pod")
    .description(
      "Runs a command in a pod: its network, its names, its environment. POD is a pod, or a workload: its first pod.",
    )
    .argument("<pod>", "pod, namespace/pod, or workload")
    .argument("<command...>", "command and its arguments, after --")
    .option("-c, --container <name>", '"sidecar" for the sidecar\'s own file system')
    .action(async (name: string, command: string[], options: { container?: string }, self: Command) => {
      const mesh = await runningMesh(self);
      const view = await engineStatus(mesh, globalOptions(self).timeout);
      const pod = findPod(view, name, podNamespace(self));
      const engine = enginePid(mesh.record);
      if (engine === undefined) {
        throw new CommandError(`mesh "${mesh.name}" has no engine process`);
      }
      const inside =
        options.container === "sidecar" ? inSidecar(pod, command) : inContainer(mesh, pod, command);
      const child = spawn(
        "nsenter",
        ["--target", String(engine), "--mount", "--pid", "--net", "--", ...inside],
        {
          stdio: "inherit",
          env: {
            ...pod.environment,
            ...(process.env["TERM"] === undefined ? {} : { TERM: process.env["TERM"] }),
          },
        },
      );
      const ignore = (): void => undefined;
      process.on("SIGINT", ignore);
      process.exitCode = await new Promise<number>((done, fail) => {
        child.on("error", fail);
        child.on("close", (status, signal) => done(status ?? (signal === "SIGINT" ? 130 : 1)));
      });
      process.off("SIGINT", ignore);
    });
}
