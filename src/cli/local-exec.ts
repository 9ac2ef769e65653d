/** `local exec`: runs a command in a pod. */
import { spawn } from "node:child_process";
import { Command } from "commander";
import type { PodView } from "../local/control.ts";
import { enginePid } from "../local/host.ts";
import { enterLaunch, type Launch, launcherIn } from "../local/launch.ts";
import { sidecarUser } from "../wire/sidecar.ts";
import { CommandError } from "./errors.ts";
import { globalOptions } from "./global-options.ts";
import { engineStatus, findPod, podNamespace, runningMesh, type RunningMesh } from "./local-mesh.ts";

type Target = PodView["containers"][number];

/** The container that the option names, else the pod's first one. */
function containerOf(pod: PodView, name: string | undefined): Target {
  const own = pod.containers.filter((candidate) => candidate.name !== "sidecar");
  const found = name === undefined ? own[0] : pod.containers.find((candidate) => candidate.name === name);
  const title = `${pod.namespace}/${pod.name}`;
  if (found === undefined) {
    const known = pod.containers.map((candidate) => candidate.name).join(", ");
    throw new CommandError(
      name === undefined
        ? `no container of pod ${title} has been started: ${pod.reason}`
        : `pod ${title} has no container "${name}"; it has ${known === "" ? "none yet" : known}`,
    );
  }
  if (found.pid === undefined) {
    throw new CommandError(`container ${found.name} of pod ${title} does not run: it ${found.reason}`);
  }
  return found;
}

/** Beside the container's process, as its user and with its limits; the sidecar's own file system for the sidecar. */
function inside(container: Target, launcher: string, command: readonly string[]): Launch {
  return enterLaunch({
    launcher,
    pid: container.pid ?? 0,
    workingDirectory: container.workingDirectory ?? "/",
    user: container.user ?? sidecarUser,
    group: container.group ?? sidecarUser,
    command,
    environment: container.environment ?? { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
}

/** The launcher twice: into the engine's namespaces, where processes have the numbers that the engine knows, then on. */
function throughEngine(mesh: RunningMesh, launcher: string, launch: Launch): Promise<number> {
  const engine = enginePid(mesh.record);
  if (engine === undefined) {
    throw new CommandError(`mesh "${mesh.name}" has no engine process`);
  }
  const terminal = process.env["TERM"] === undefined ? {} : { TERM: process.env["TERM"] };
  const child = spawn(launcher, ["--enter", String(engine), "--", launch.program, ...launch.args], {
    stdio: "inherit",
    env: { ...launch.environment, ...terminal },
  });
  return new Promise<number>((done, fail) => {
    child.on("error", fail);
    child.on("close", (status, signal) => done(status ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

export function localExecCommand(): Command {
  return new Command("exec")
    .summary("run a command in a pod")
    .description(
      "Runs a command beside a container: in its namespaces, with its environment, user and limits. POD is a pod, or a workload: its first pod.",
    )
    .argument("<pod>", "pod, namespace/pod, or workload")
    .argument("<command...>", "command and its arguments, after --")
    .option("-c, --container <name>", 'container (default: the first); "sidecar" for the sidecar')
    .action(async (name: string, command: string[], options: { container?: string }, self: Command) => {
      const mesh = await runningMesh(self);
      const view = await engineStatus(mesh, globalOptions(self).timeout);
      const pod = findPod(view, name, podNamespace(self));
      const launcher = launcherIn(mesh.record.settings.program);
      const launch = inside(containerOf(pod, options.container), launcher, command);
      // the command gets it too, and decides
      const ignore = (): void => undefined;
      process.on("SIGINT", ignore);
      process.exitCode = await throughEngine(mesh, launcher, launch);
      process.off("SIGINT", ignore);
    });
}
