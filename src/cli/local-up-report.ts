/** What `local up` says of a mesh that is, or is not, as it should be. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineView, PodView } from "../local/control.ts";
import { logFile, type Layout } from "../local/layout.ts";
import { CommandError, exitStatus } from "./errors.ts";
import type { Output } from "./program.ts";

/** The last lines of a log, indented; "" when there is none. */
export function lastLines(path: string, count: number): string {
  if (!existsSync(path)) {
    return "";
  }
  const lines = readFileSync(path, "utf8").trimEnd().split("\n").slice(-count);
  return lines[0] === "" ? "" : lines.map((line) => `    | ${line}\n`).join("");
}

function notReady(view: EngineView, layout: Layout): string {
  const pods = view.pods.filter((pod) => !pod.ready && !pod.terminating).map((pod) => describe(pod, layout));
  const missing = view.missing.map((name) => `  ${name}: not started yet\n`);
  const parts = Object.entries(view.parts)
    .filter(([, part]) => part.state !== "running")
    .map(([name, part]) => `  ${name}: ${part.reason}\n${lastLines(join(layout.logs, `${name}.log`), 5)}`);
  const problems = view.problems.map((problem) => `  ${problem}\n`);
  return [...parts, ...pods, ...missing, ...problems].join("");
}

function describe(pod: PodView, layout: Layout): string {
  const culprit = pod.containers.find(
    (container) => !container.ready && (container.name !== "sidecar" || container.restarts > 0),
  );
  const log =
    culprit === undefined ? "" : lastLines(logFile(layout, pod.namespace, pod.name, culprit.name), 5);
  return `  ${pod.namespace}/${pod.name}: ${pod.reason}\n${log}`;
}

export const inBackground = 'it goes on in the background until "nginx-meshctl local down"';

/**
 * Throws CommandError with status "not well" for pods that are not ready, and for manifests that cannot be read or started. What
 * is wrong with the mesh that they describe, and `status` says as long as it is so, is a warning.
 */
export function conclude(
  view: EngineView | undefined,
  layout: Layout,
  patience: number,
  output: Output,
  lasting: string,
): void {
  view?.modelProblems.forEach((problem) => output.warn(`error: ${problem}\n`));
  if (view?.ready !== true) {
    const why = view === undefined ? "  the engine does not answer yet\n" : notReady(view, layout);
    throw new CommandError(
      `not everything is ready after ${patience / 1000} s; the mesh goes on in the background:\n${why.trimEnd()}`,
      { status: exitStatus.notWell },
    );
  }
  if (view.problems.length > 0) {
    const problems = view.problems.map((problem) => `  ${problem}`).join("\n");
    throw new CommandError(
      `${view.pods.length} pods are ready and go on in the background, without what is wrong in the manifests:\n${problems}`,
      { status: exitStatus.notWell },
    );
  }
  output.print(`ready: ${view.pods.length} pods; ${lasting}\n`);
}
