/** `local`: meshes on this machine. */
import { Command } from "commander";
import { localDownCommand } from "./local-down.ts";
import { localExecCommand } from "./local-exec.ts";
import { localLogsCommand } from "./local-logs.ts";
import { localRotateCommand } from "./local-rotate-ca.ts";
import { localUpCommand } from "./local-up.ts";
import type { Output } from "./program.ts";

export function localCommand(output: Output): Command {
  const local = new Command("local")
    .summary("meshes on this machine, without Kubernetes")
    .description(
      "Runs a folder of Kubernetes manifests as a mesh on this machine: pods are network namespaces.",
    );
  const commands = [
    localUpCommand(output),
    localDownCommand(output),
    localExecCommand(),
    localLogsCommand(),
    localRotateCommand(output),
  ];
  commands.forEach((command) => local.addCommand(command));
  return local;
}
