/** `status`: whether the control plane answers, and whether all is well. */
import { join } from "node:path";

import { Command } from "commander";

import type { Problem } from "../api/problem.ts";
import { readLocalStatus } from "../cluster/local-status.ts";
import { controllerClient } from "./controller-client.ts";
import { CommandError, exitStatus } from "./errors.ts";
import { type OutputFormat, outputOption } from "./global-options.ts";
import { complaints, type ControllerStatus, type MeshStatus, statusText } from "./status-text.ts";

async function meshStatus(command: Command): Promise<MeshStatus> {
  const { mesh, get } = await controllerClient(command);
  const [controller, problems] = await Promise.all([get("/status"), get("/problems")]);
  const file = join(mesh.state, "status.json");
  const local = await readLocalStatus(file).catch((error: unknown) => {
    throw new CommandError(`cannot read the pods of mesh "${mesh.name}" from ${file}: ${String(error)}`, {
      cause: error,
    });
  });
  return {
    mesh,
    controller: controller as ControllerStatus,
    pods: local.pods,
    problems: problems as Problem[],
  };
}

export function statusCommand(print: (text: string) => void): Command {
  return new Command("status")
    .summary("whether the control plane answers and all is well")
    .description("Asks the control plane how it is; ends with status 1 when something is not well.")
    .addOption(outputOption())
    .action(async (options: { output: OutputFormat }, command: Command) => {
      const status = await meshStatus(command);
      const wrong = complaints(status);
      print(
        options.output === "json"
          ? `${JSON.stringify({ ok: wrong.length === 0, complaints: wrong, ...status }, undefined, 2)}\n`
          : statusText(status, Date.now()),
      );
      if (wrong.length > 0) {
        process.exitCode = exitStatus.notWell;
      }
    });
}
