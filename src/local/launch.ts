/**
 * Command lines of what runs in a pod. Each starts a chain of programs of util-linux that replace each other (nsenter,
 * unshare, a shell for the mounts, setpriv), so that in the end there is one process. Its mounts are in a namespace of
 * its own and vanish with it.
 */
import { environment, paths, sidecarUser } from "../wire/sidecar.ts";
import { namespacePath } from "./network.ts";

export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

function inPod(number: number, script: string, args: readonly string[]): readonly string[] {
  return [
    `--net=${namespacePath(number)}`,
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-e",
    "-c",
    script,
    "sh",
    ...args,
  ];
}

export interface SidecarLaunch {
  readonly number: number;
  /** Root file system with nginx. */
  readonly root: string;
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

const sidecarScript = `
root=$1 program=$2 identity=$3
mount -t tmpfs -o size=8m,mode=0755,uid=${sidecarUser},gid=${sidecarUser} tmpfs "$root${paths.runtime}"
mount --bind "$program" "$root${paths.program}"
mount --bind "$identity" "$root/run/spire/sockets"
mount -o remount,bind,ro "$root${paths.program}"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid -- \\
  chroot --userspec=${sidecarUser}:${sidecarUser} "$root" /usr/sbin/nginx -c ${paths.program}/nginx.conf -g 'daemon off;'
`;

export function sidecarLaunch(sidecar: SidecarLaunch): Launch {
  return {
    program: "nsenter",
    args: inPod(sidecar.number, sidecarScript, [sidecar.root, sidecar.programFolder, sidecar.identityFolder]),
    environment: {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
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
  readonly number: number;
  /** The mesh's state, which the process must not see. */
  readonly state: string;
  readonly resolvConf: string;
  readonly hosts: string;
  /** Root folder; undefined: the host's. */
  readonly root: string | undefined;
  readonly workingDirectory: string;
  readonly user: number;
  readonly group: number;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const containerScript = `
state=$1 resolv=$2 hosts=$3 root=$4 dir=$5 user=$6 group=$7
shift 7
for file in resolv.conf hosts; do [ -e "$root/etc/$file" ] || : >"$root/etc/$file"; done
mount --bind "$resolv" "$root/etc/resolv.conf"
mount --bind "$hosts" "$root/etc/hosts"
mount -t tmpfs -o size=4k,mode=0700 tmpfs "$state"
if [ -n "$root" ]; then
  exec chroot "$root" /bin/sh -e -c 'cd "$1"; shift; exec "$@"' sh "$dir" \\
    setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
fi
cd "$dir"
exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
`;

export function containerLaunch(container: ContainerLaunch): Launch {
  return {
    program: "nsenter",
    args: inPod(container.number, containerScript, [
      container.state,
      container.resolvConf,
      container.hosts,
      container.root ?? "",
      container.workingDirectory,
      String(container.user),
      String(container.group),
      ...container.command,
    ]),
    environment: container.environment,
  };
}

/** nats-server of the sidecar's root, with that root's own loader and libraries: the host's may be older. */
export function natsLaunch(root: string, configuration: string): Launch {
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  return {
    program: `${root}/usr/lib64/ld-linux-x86-64.so.2`,
    args: ["--library-path", libraries, `${root}/usr/sbin/nats-server`, "-c", configuration],
    environment: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  };
}
