/** This mesh, in local mode: the same pods, with sidecars that nobody configured by hand. */
import { readFileSync } from "node:fs";
import type { LocalStatus } from "../../src/cluster/local-status.ts";
import { startMesh, type TestMesh } from "../../test/e2e/mesh.ts";
import { workload } from "../manifests.ts";
import { processes, type Proxy } from "../processes.ts";
import type { Programs } from "../programs.ts";
import type { System } from "./system.ts";

/** A pod of a mesh as the host sees it. */
export interface MeshPod {
  /** Process of the application. */
  readonly pid: number;
  /** nginx: master and workers. */
  readonly sidecar: Proxy;
  /** What a command line begins with to run in the pod's network. */
  readonly enter: readonly string[];
}

export async function startMeshSystem(programs: Programs): Promise<System> {
  const marker = String(process.pid);
  const mesh = await startMesh({
    "client.yaml": workload({ name: "client", replicas: 1, command: appCommand(programs, "client", marker) }),
    "server.yaml": workload({ name: "server", replicas: 2, command: appCommand(programs, "server", marker) }),
  });
  const [client] = podsOf(programs, "client", marker);
  const servers = podsOf(programs, "server", marker);
  if (client === undefined || servers.length !== 2) {
    await mesh.stop();
    throw new Error("the pods of the mesh are not to be found among the machine's processes");
  }
  const address = serviceAddress(mesh, "server");
  return {
    name: "mesh",
    inClient: client.enter,
    proxies: [client, ...servers].map((pod) => pod.sidecar),
    targets: (kind) => [`${address}:${kind.port}`],
    stop: () => mesh.stop(),
  };
}

/** The application under a name by which its process is found from outside of the pod. */
export function appCommand(programs: Programs, name: string, marker: string): readonly string[] {
  return [programs.app, "-n", `${name}.${marker}`];
}

/** The running pods of a workload that was started with `appCommand`. */
export function podsOf(programs: Programs, name: string, marker: string): readonly MeshPod[] {
  const all = processes();
  const isApp = (command: readonly string[]): boolean =>
    command[0] === programs.app && command.at(-1) === `${name}.${marker}`;
  return all
    .filter((each) => isApp(each.command))
    .map(({ pid, network }) => {
      const nginx = all.filter((each) => each.name === "nginx" && each.network === network);
      return {
        pid,
        sidecar: { pod: name, pids: nginx.map((each) => each.pid) },
        enter: ["nsenter", "--target", String(pid), "--net"],
      };
    });
}

/** Cluster address of a Service of namespace `bench`. Throws when it has none. */
export function serviceAddress(mesh: TestMesh, name: string): string {
  const status = JSON.parse(readFileSync(mesh.layout.status, "utf8")) as LocalStatus;
  const address = status.services.find((each) => each.namespace === "bench" && each.name === name)
    ?.addresses[0];
  if (address === undefined) {
    throw new Error(`Service ${name} has no address`);
  }
  return address;
}
