/** `status`: whether the control plane answers, and whether all is well. */
import { Command } from "commander";

import type { Problem } from "../api/problem.ts";
import { clusterParts, clusterPods } from "./cluster-status.ts";
import { type ControllerClient, controllerClient } from "./controller-client.ts";
import { exitStatus } from "./errors.ts";
import { type OutputFormat, outputOption } from "./global-options.ts";
import { localPods } from "./local-mesh-pods.ts";
import type { Output } from "./program.ts";
import { complaints, type ControllerStatus, type MeshStatus, statusText } from "./status-text.ts";

async function meshStatus(asked: ControllerClient): Promise<MeshStatus> {
  const { mesh, get } = asked;
  const [controller, problems, rest] = await Promise.all([
    get("/status"),
    get("/problems"),
    surroundings(mesh),
  ]);
  return { ...rest, controller: controller as ControllerStatus, problems: problems as Problem[] };
}

async function surroundings(
  mesh: ControllerClient["mesh"],
): Promise<Pick<MeshStatus, "mesh" | "parts" | "pods">> {
  if (mesh.kind === "local") {
    const { name, state } = mesh.local;
    return { mesh: { name, place: state }, parts: [], pods: await localPods(mesh.local) };
  }
  const { client, namespace } = mesh.cluster;
  const [parts, pods] = await Promise.all([clusterParts(client, namespace), clusterPods(client)]);
  return { mesh: { name: namespace, place: client.cluster.name }, parts, pods };
}

export function statusCommand(output: Output): Command {
  return new Command("status")
    .summary("whether the control plane answers and all is well")
    .description("Asks the control plane how it is; ends with status 1 when something is not well.")
    .addOption(outputOption())
    .action(async (options: { output: OutputFormat }, command: Command) => {
      const status = await meshStatus(await controllerClient(command, output));
      const wrong = complaints(status);
      output.print(
        options.output === "json"
          ? `${JSON.stringify({ ok: wrong.length === 0, complaints: wrong, ...status }, undefined, 2)}\n`
          : statusText(status, Date.now()),
      );
      if (wrong.length > 0) {
        process.exitCode = exitStatus.notWell;
      }
    });
}
