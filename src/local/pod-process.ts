/** From a container of a manifest to the process that it is here. Reads the owner of a folder, else pure. */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { annotations } from "../api/annotations.ts";
import type { Container } from "../api/pod.ts";
import { environmentOf, expand } from "./container-environment.ts";
import type { DesiredPod } from "./desired.ts";
import { containerLaunch, enterLaunch, type Launch } from "./launch.ts";
import { stateRoot } from "./layout.ts";
import { namespacePath } from "./network.ts";
import type { PodContext } from "./pod.ts";

export interface PodPlace {
  readonly number: number;
  readonly address: string;
  /** Folder of the pod's files. */
  readonly folder: string;
}

/** What a command needs to run as the container's process does. */
export interface ContainerProcess {
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly user: number;
  readonly group: number;
}

/** A root folder of its own, as the annotation says; undefined: the host's. */
function rootOf(desired: DesiredPod): string | undefined {
  const root = desired.annotations[annotations.localRoot];
  return root === undefined ? undefined : resolve(desired.folder, root);
}

/**
 * Where the manifest names no user: that of the manifests' folder, so that the processes of a mesh which was started
 * with sudo are those of the user; with a root folder, root as in an image.
 */
function userOf(container: Container, desired: DesiredPod): { user: number; group: number } {
  const own = container.securityContext;
  const shared = desired.spec.securityContext;
  const folder = rootOf(desired) === undefined ? statSync(desired.folder) : { uid: 0, gid: 0 };
  const user = own?.runAsUser ?? shared?.runAsUser;
  const group = own?.runAsGroup ?? shared?.runAsGroup ?? (user === undefined ? folder.gid : user);
  return { user: user ?? folder.uid, group };
}

export function processOf(
  container: Container,
  desired: DesiredPod,
  place: PodPlace,
  context: PodContext,
): ContainerProcess {
  const fields = { ...desired, address: place.address };
  const start = rootOf(desired) === undefined ? desired.folder : "/";
  return {
    environment: environmentOf(container, fields, context.environment, context.configMaps()),
    workingDirectory: container.workingDir === undefined ? "/" : resolve(start, container.workingDir),
    ...userOf(container, desired),
  };
}

export function launchOf(
  container: Container,
  process: ContainerProcess,
  desired: DesiredPod,
  place: PodPlace,
  context: PodContext,
): Launch {
  const masked = [context.layout.state, stateRoot, "/run/netns"];
  return containerLaunch({
    launcher: context.launcher,
    network: namespacePath(place.folder),
    podName: desired.name,
    resolvConf: join(place.folder, "resolv.conf"),
    hosts: join(place.folder, "hosts"),
    root: rootOf(desired),
    scratch: context.layout.scratch,
    masked: masked.filter((folder) => existsSync(folder)),
    ...process,
    command: [...(container.command ?? []), ...(container.args ?? [])].map((part) =>
      expand(part, process.environment),
    ),
  });
}

/** A command beside the container's process with this id. */
export function entering(process: ContainerProcess, launcher: string) {
  return (pid: number, command: readonly string[]): Launch =>
    enterLaunch({ launcher, pid, command, ...process });
}
