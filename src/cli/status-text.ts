/** The report of `status`. Pure: time is an argument. */
import { formatProblem, type Problem } from "../api/problem.ts";
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

export interface MeshPod {
  readonly namespace: string;
  readonly name: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly meshed: boolean;
  /** Why it is not ready, or what may say so; follows "is not ready". */
  readonly trouble: string;
}

/** A workload of the control plane. */
export interface MeshPart {
  /** `Deployment nginx-mesh-controller`. */
  readonly name: string;
  readonly ready: number;
  readonly wanted: number;
  /** Why pods of it are not ready, a sentence each. */
  readonly troubles: readonly string[];
}

export interface MeshStatus {
  /** The place is a state folder, or a namespace and its cluster. */
  readonly mesh: { readonly name: string; readonly place: string };
  readonly controller: ControllerStatus;
  /** Empty in local mode, whose engine looks after its parts. */
  readonly parts: readonly MeshPart[];
  /** Parts that this user may not look at: which access is denied. */
  readonly unseen: readonly string[];
  readonly pods: readonly MeshPod[];
  readonly problems: readonly Problem[];
}

function partComplaints(part: MeshPart): string[] {
  if (part.ready >= part.wanted) {
    return [];
  }
  const troubles = part.troubles.length === 0 ? ["its pods do not exist yet"] : part.troubles;
  return troubles.map(
    (trouble) => `${part.name}: ${part.ready} of ${part.wanted} pods are ready: ${trouble}`,
  );
}

/** What is not as it should be, a sentence each; empty: all is well. */
export function complaints(status: MeshStatus): string[] {
  const { controller, parts, pods, problems } = status;
  const waiting = pods.filter((pod) => !pod.ready && !pod.terminating);
  return [
    ...(controller.configuration.error === "" ? [] : [`configuration: ${controller.configuration.error}`]),
    ...(controller.nats.connected ? [] : ["NATS: not connected; sidecars go on with what they have"]),
    ...(controller.nats.error === "" ? [] : [`NATS: ${controller.nats.error}`]),
    ...parts.flatMap(partComplaints),
    ...waiting.map((pod) => `pod ${pod.namespace}/${pod.name} is not ready${pod.trouble}`),
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
  const { mesh, controller, parts, pods, problems } = status;
  const present = pods.filter((pod) => !pod.terminating);
  const warnings = problems.filter((problem) => problem.severity === "warning");
  const text = fields([
    ["Mesh", `${mesh.name} (${mesh.place})`],
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
    ...parts.map((part): [string, string] => [
      part.name.split(" ").at(-1) ?? part.name,
      `${part.ready} of ${part.wanted} ready`,
    ]),
    ["Services", String(controller.counts.services)],
    [
      "Pods",
      `${present.filter((pod) => pod.ready).length} of ${present.length} ready, ${present.filter((pod) => pod.meshed).length} in the mesh`,
    ],
    ["Problems", problems.length === 0 ? "none" : String(problems.length)],
  ]);
  const lines = [
    ...complaints(status),
    ...status.unseen.map((why) => `not looked at: ${why}`),
    ...warnings.map((problem) => `warning: ${formatProblem(problem)}`),
  ];
  return lines.length === 0 ? text : `${text}\n${lines.join("\n")}\n`;
}
