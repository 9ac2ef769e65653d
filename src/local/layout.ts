/** Where local mode keeps things. Everything of a mesh is below its state folder, but for what the kernel holds. */
import { join } from "node:path";

export interface Layout {
  /** State folder. */
  readonly state: string;
  readonly lock: string;
  /** What a mesh that did not end well has left behind, and how it was started. */
  readonly record: string;
  readonly status: string;
  readonly log: string;
  readonly controlSocket: string;
  readonly controllerSocket: string;
  readonly authority: string;
  readonly nats: string;
  readonly controllerIdentity: string;
  readonly logs: string;
  readonly pods: string;
  /** The program of the sidecars. */
  readonly sidecar: string;
  /** Where the roots of processes are mounted, each in a mount namespace of its own. */
  readonly scratch: string;
}

export const stateRoot = "/var/lib/nginx-mesh/local";

export function layoutOf(state: string): Layout {
  return {
    state,
    lock: join(state, "engine.lock"),
    record: join(state, "engine.json"),
    status: join(state, "status.json"),
    log: join(state, "logs", "engine.log"),
    controlSocket: join(state, "engine.sock"),
    controllerSocket: join(state, "controller.sock"),
    authority: join(state, "ca"),
    nats: join(state, "nats"),
    controllerIdentity: join(state, "controller", "agent.sock"),
    logs: join(state, "logs"),
    pods: join(state, "pods"),
    sidecar: join(state, "sidecar"),
    scratch: join(state, "root"),
  };
}

/** Folder of one pod, by its number: socket paths must be short. */
export function podFolder(layout: Layout, number: number): string {
  return join(layout.pods, String(number));
}

/** Name of the mesh's own container in a pod. */
export const sidecarName = "sidecar";

export function logFile(layout: Layout, namespace: string, pod: string, container: string): string {
  return join(layout.logs, `${namespace}.${pod}.${container}.log`);
}
