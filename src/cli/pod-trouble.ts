/** Why a pod is not ready, in a sentence. Pure. */
import type { Pod } from "./kube-objects.ts";

type ContainerStatus = Pod["status"]["containerStatuses"][number];

export function isReady(pod: Pod): boolean {
  return (
    pod.metadata.deletionTimestamp === undefined &&
    pod.status.conditions.some((condition) => condition.type === "Ready" && condition.status === "True")
  );
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(": ");
}

function containerTrouble(status: ContainerStatus): string | undefined {
  const { waiting, terminated } = status.state;
  const last = status.lastState.terminated;
  const before =
    last === undefined
      ? ""
      : ` (it ended ${status.restartCount} times, last with ${join(last.reason, `status ${last.exitCode}`)})`;
  if (waiting !== undefined && waiting.reason !== "PodInitializing") {
    return `container ${status.name}: ${join(waiting.reason, waiting.message)}${before}`;
  }
  if (terminated !== undefined && terminated.exitCode !== 0) {
    return `container ${status.name} ended with ${join(terminated.reason, `status ${terminated.exitCode}`, terminated.message)}`;
  }
  return undefined;
}

/** Empty for a pod that is ready. */
export function podTrouble(pod: Pod): string {
  if (isReady(pod)) {
    return "";
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    return "it is being deleted";
  }
  const scheduled = pod.status.conditions.find((condition) => condition.type === "PodScheduled");
  if (scheduled?.status === "False") {
    return `no node takes it: ${join(scheduled.reason, scheduled.message)}`;
  }
  const statuses = [...pod.status.initContainerStatuses, ...pod.status.containerStatuses];
  for (const status of statuses) {
    const trouble = containerTrouble(status);
    if (trouble !== undefined) {
      return trouble;
    }
  }
  const unready = pod.status.containerStatuses.filter((status) => !status.ready).map(({ name }) => name);
  return unready.length > 0
    ? `running, but not ready: ${unready.join(", ")}`
    : `it is in phase ${pod.status.phase || "unknown"}`;
}
