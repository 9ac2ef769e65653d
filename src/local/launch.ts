/**
 * Command lines of everything that a mesh runs. The launcher (src/local/launcher) puts a process into its namespaces,
 * root, user and limits, and becomes it; its mounts vanish with it. Pure.
 */
import { join } from "node:path";
import { drainPath, environment, paths, ports, sidecarUser } from "../wire/sidecar.ts";
import { hostName } from "./names.ts";

export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** The launcher of a checkout or installation. */
export function launcherIn(program: string): string {
  return join(program, "build/launcher");
}

type Flag = readonly [name: string, value: string];

function flags(pairs: readonly Flag[]): string[] {
  return pairs.flatMap(([name, value]) => [`--${name}`, value]);
}

const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin";
/** Ends with the engine; no capabilities; no way to new ones. */
const confined = ["--die-with-parent", "--drop-capabilities"];

export interface SidecarLaunch {
  readonly launcher: string;
  /** File of the network namespace. */
  readonly network: string;
  /** Root file system with nginx. */
  readonly root: string;
  /** Folder to mount that root on. */
  readonly scratch: string;
  /** build/sidecar */
  readonly programFolder: string;
  /** Folder with the Workload API's socket. */
  readonly identityFolder: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly podAddress: string;
  readonly serviceAccount: string;
  /** `kind/name` */
  readonly workload: string;
  readonly trustDomain: string;
  readonly nats: string;
}

/** nginx as process 1 of namespaces of its own, as the sidecar's user, with a root that it cannot write to. */
export function sidecarLaunch(sidecar: SidecarLaunch): Launch {
  const user = `${sidecarUser}:${sidecarUser}`;
  const identityFolder = paths.workloadApi.slice(0, paths.workloadApi.lastIndexOf("/"));
  const namespaces = ["--net", sidecar.network, "--hostname", hostName(sidecar.podName), "--new-pid"];
  const files = flags([
    ["root", sidecar.root],
    ["scratch", sidecar.scratch],
    ["bind", `${sidecar.programFolder}:${paths.program}`],
    ["bind", `${sidecar.identityFolder}:${identityFolder}`],
    ["tmpfs", `${paths.runtime}:size=8m,mode=0755,uid=${sidecarUser},gid=${sidecarUser}`],
  ]);
  return {
    program: sidecar.launcher,
    args: [
      ...confined,
      ...namespaces,
      ...files,
      "--user",
      user,
      "--",
      "/usr/sbin/nginx",
      "-c",
      `${paths.program}/nginx.conf`,
      "-g",
      "daemon off;",
    ],
    environment: {
      PATH: systemPath,
      [environment.podName]: sidecar.podName,
      [environment.podNamespace]: sidecar.podNamespace,
      [environment.podAddress]: sidecar.podAddress,
      [environment.serviceAccount]: sidecar.serviceAccount,
      [environment.workload]: sidecar.workload,
      [environment.trustDomain]: sidecar.trustDomain,
      [environment.nats]: sidecar.nats,
    },
  };
}

export interface ContainerLaunch {
  readonly launcher: string;
  /** File of the network namespace. */
  readonly network: string;
  readonly podName: string;
  readonly resolvConf: string;
  readonly hosts: string;
  /** Root folder; undefined: the host's. */
  readonly root: string | undefined;
  readonly scratch: string;
  /** Folders of the host that the process must not see. */
  readonly masked: readonly string[];
  readonly workingDirectory: string;
  readonly user: number;
  readonly group: number;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** With a root folder, what the process writes is its own and gone when it ends; without one it sees the host's files. */
export function containerLaunch(container: ContainerLaunch): Launch {
  const namespaces = ["--net", container.network, "--hostname", hostName(container.podName), "--new-pid"];
  const root: readonly Flag[] =
    container.root === undefined
      ? container.masked.map((folder): Flag => ["mask", folder])
      : [
          ["overlay", container.root],
          ["scratch", container.scratch],
        ];
  const files = flags([
    ["bind", `${container.resolvConf}:/etc/resolv.conf`],
    ["bind", `${container.hosts}:/etc/hosts`],
    ...root,
  ]);
  const process = ["--cwd", container.workingDirectory, "--user", `${container.user}:${container.group}`];
  return {
    program: container.launcher,
    args: [...confined, ...namespaces, "--init", ...files, ...process, "--", ...container.command],
    environment: container.environment,
  };
}

export interface EnterLaunch {
  readonly launcher: string;
  /** Process whose namespaces to enter, as the caller numbers it. */
  readonly pid: number;
  readonly workingDirectory: string;
  readonly user: number;
  readonly group: number;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** A command beside a container's process, with the same limits. */
export function enterLaunch(options: EnterLaunch): Launch {
  const process = ["--cwd", options.workingDirectory, "--user", `${options.user}:${options.group}`];
  return {
    program: options.launcher,
    args: ["--enter", String(options.pid), ...confined, ...process, "--", ...options.command],
    environment: options.environment,
  };
}

/** The hook that an injected sidecar has as preStop, beside the sidecar's process. */
export function drainLaunch(launcher: string, pid: number): Launch {
  const command = [paths.drain, String(ports.status), drainPath];
  const user = { user: sidecarUser, group: sidecarUser };
  return enterLaunch({ launcher, pid, workingDirectory: "/", ...user, command, environment: {} });
}

/** nats-server of the sidecar's root, with that root's own loader and libraries: the host's may be older. */
export function natsLaunch(launcher: string, root: string, configuration: string): Launch {
  const loader = `${root}/usr/lib64/ld-linux-x86-64.so.2`;
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  return {
    program: launcher,
    args: [
      ...confined,
      "--",
      loader,
      "--library-path",
      libraries,
      `${root}/usr/sbin/nats-server`,
      "-c",
      configuration,
    ],
    environment: { PATH: systemPath },
  };
}

/** A program of this mesh's own on the Node that runs the engine. */
export function programLaunch(
  launcher: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
): Launch {
  return {
    program: launcher,
    args: [...confined, "--", process.execPath, ...args],
    environment: variables,
  };
}
