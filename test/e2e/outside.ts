/** What is not of the mesh, for its pods: this machine. */
import { execFileSync } from "node:child_process";
import type { PodView } from "../../src/local/control.ts";

/** The host's end of the mesh's uplink: what the host uses to reach a pod. */
export function hostAddress(pod: PodView): string {
  const route = execFileSync("ip", ["-4", "route", "get", pod.address]).toString();
  return / src (\S+)/.exec(route)![1]!;
}
