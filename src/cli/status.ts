/** `status`: whether the control plane answers, and whether all is well. */
import { setTimeout as sleep } from "node:timers/promises";
import { Command, Option } from "commander";

import type { Problem } from "../api/problem.ts";
import { clusterPods, visibleParts } from "./cluster-status.ts";
import { type ControllerClient, controllerAt, type MeshPlace, meshPlace } from "./controller-client.ts";
import { parseDuration } from "./duration.ts";
import { CommandError, exitStatus } from "./errors.ts";
import { globalOptions, type OutputFormat, outputOption } from "./global-options.ts";
import { KubeError, withTimeout } from "./kube-client.ts";
import { localPods } from "./local-mesh-pods.ts";
import type { Output } from "./program.ts";
import { reminder } from "./progress.ts";
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
): Promise<Pick<MeshStatus, "mesh" | "parts" | "unseen" | "pods">> {
  if (mesh.kind === "local") {
    const { name, state } = mesh.local;
    return { mesh: { name, place: state }, parts: [], unseen: [], pods: await localPods(mesh.local) };
  }
  const { client, namespace } = mesh.cluster;
  const [seen, pods] = await Promise.all([visibleParts(client, namespace), clusterPods(client)]);
  return { mesh: { name: namespace, place: client.cluster.name }, ...seen, pods };
}

const interval = 1000;

async function statusAt(place: MeshPlace, timeout: number): Promise<MeshStatus> {
  const fresh = place.kind === "local" ? place : { ...place, client: withTimeout(place.client, timeout) };
  return meshStatus(await controllerAt(fresh, timeout));
}

/** An access that is denied stays so. */
function mayPass(error: unknown): error is CommandError {
  return error instanceof CommandError && !(error instanceof KubeError && [401, 403].includes(error.code));
}

/** Asks until all is well or the time is over; the last answer. Throws CommandError when there is none. */
async function awaitedStatus(
  ask: () => Promise<MeshStatus>,
  milliseconds: number,
  output: Output,
): Promise<MeshStatus> {
  const end = performance.now() + milliseconds;
  const { remind } = reminder(output, interval);
  for (;;) {
    const isLast = performance.now() + interval > end;
    const answer = await ask().catch((error: unknown) => {
      if (isLast || !mayPass(error)) {
        throw error;
      }
      return error;
    });
    const wrong = answer instanceof CommandError ? [answer.message] : complaints(answer);
    if (!(answer instanceof CommandError) && (wrong.length === 0 || isLast)) {
      return answer;
    }
    remind(`waiting:\n${wrong.map((line) => `  ${line}\n`).join("")}`);
    await sleep(interval);
  }
}

export function statusCommand(output: Output): Command {
  return new Command("status")
    .summary("whether the control plane answers and all is well")
    .description("Asks the control plane how it is; ends with status 1 when something is not well.")
    .addOption(outputOption())
    .addOption(
      new Option("--wait <duration>", "ask again until all is well, for so long")
        .argParser(parseDuration)
        .default(0, "ask once"),
    )
    .action(async (options: { output: OutputFormat; wait: number }, command: Command) => {
      const place = await meshPlace(command, output);
      const { timeout } = globalOptions(command);
      const status = await awaitedStatus(() => statusAt(place, timeout), options.wait, output);
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
