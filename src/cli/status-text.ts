/** The report of `status`. Pure: time is an argument. */
import { formatProblem, type Problem } from "../api/problem.ts";
import type { LocalPod } from "../cluster/local-status.ts";
import { fields } from "./table.ts";

/** As the controller answers `/status`. */
export interface ControllerStatus {
  readonly version: string;
  readonly startedAt: string;
  readonly configuration: { readonly version: string; readonly keys: number; readonly error: string };
  readonly nats: {
    readonly connected: boolean;
    readonly publishedVersion: string;
    readonly publishedAt: string | null;
    readonly error: string;
  };
  readonly counts: { readonly services: number };
  readonly settings: { readonly mtlsMode: string; readonly trustDomain: string } | null;
}

export interface MeshStatus {
  readonly mesh: { readonly name: string; readonly state: string };
  readonly controller: ControllerStatus;
  readonly pods: readonly LocalPod[];
  readonly problems: readonly Problem[];
}

/** What is not as it should be, a sentence each; empty: all is well. */
export function complaints(status: MeshStatus): string[] {
  const { controller, pods, problems } = status;
  const waiting = pods.filter((pod) => !pod.ready && !pod.terminating);
  return [
    ...(controller.configuration.error === "" ? [] : [`configuration: ${controller.configuration.error}`]),
    ...(controller.nats.connected ? [] : ["NATS: not connected; sidecars go on with what they have"]),
    ...(controller.nats.error === "" ? [] : [`NATS: ${controller.nats.error}`]),
    ...waiting.map(
      (pod) =>
        `pod ${pod.namespace}/${pod.name} is not ready; "nginx-meshctl local logs ${pod.name}" may say why`,
    ),
    ...problems
      .filter((problem) => problem.severity === "error")
      .map((problem) => `error: ${formatProblem(problem)}`),
  ];
}

/** `3 s ago`, `5 min ago`, `2 h ago`, `4 d ago`. */
export function ago(time: string | null, now: number): string {
  if (time === null) {
    return "never";
  }
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  if (seconds < 120) {
    return `${seconds} s ago`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) {
    return `${minutes} min ago`;
  }
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.round(hours / 24)} d ago`;
}

/** Whether the newest configuration is what the sidecars can read. */
function published(controller: ControllerStatus, now: number): string {
  const { configuration, nats } = controller;
  return configuration.version === nats.publishedVersion
    ? `published ${ago(nats.publishedAt, now)}`
    : `not published yet, last time ${ago(nats.publishedAt, now)}`;
}

export function statusText(status: MeshStatus, now: number): string {
  const { mesh, controller, pods, problems } = status;
  const present = pods.filter((pod) => !pod.terminating);
  const warnings = problems.filter((problem) => problem.severity === "warning");
  const text = fields([
    ["Mesh", `${mesh.name} (${mesh.state})`],
    ["Control plane", `version ${controller.version}, started ${ago(controller.startedAt, now)}`],
    [
      "Configuration",
      `${controller.configuration.version.slice(0, 12)}, ${controller.configuration.keys} keys, ${published(controller, now)}`,
    ],
    ["NATS", controller.nats.connected ? "connected" : "not connected"],
    [
      "mTLS",
      `${controller.settings?.mtlsMode ?? "unknown"}, trust domain ${controller.settings?.trustDomain ?? "unknown"}`,
    ],
    ["Services", String(controller.counts.services)],
    [
      "Pods",
      `${present.filter((pod) => pod.ready).length} of ${present.length} ready, ${present.filter((pod) => pod.meshed).length} in the mesh`,
    ],
    ["Problems", problems.length === 0 ? "none" : String(problems.length)],
  ]);
  const lines = [...complaints(status), ...warnings.map((problem) => `warning: ${formatProblem(problem)}`)];
  return lines.length === 0 ? text : `${text}\n${lines.join("\n")}\n`;
}
