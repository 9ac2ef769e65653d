/** Addresses and files of one test bed. Pure. */
import { createHash } from "node:crypto";
import { join } from "node:path";

export const clusterDomain = "cluster.local";
/** Registry of the images that are imported into the nodes; nothing answers under this name. */
export const registry = "testbed.local";

export interface NodePlan {
  readonly name: string;
  readonly address: string;
  readonly address6: string;
  readonly podRange: string;
  readonly podRange6: string;
}

/** One /16 of IPv4, 10.N, and one /48 of IPv6, fd6d:0:N. */
export interface Plan {
  readonly number: number;
  /** Link of the host, at most 15 characters. */
  readonly link: string;
  readonly range: string;
  readonly range6: string;
  readonly uplinkHost: string;
  readonly uplinkPlane: string;
  /** The control plane's address on the bridge to which the nodes are connected. */
  readonly plane: string;
  readonly plane6: string;
  readonly podRange: string;
  readonly podRange6: string;
  readonly serviceRange: string;
  readonly serviceRange6: string;
  /** First address of the range of Services: that of the Service `kubernetes`. */
  readonly kubernetesService: string;
  readonly dns: string;
  readonly nodes: readonly NodePlan[];
}

export function planOf(number: number, nodeCount: number): Plan {
  const four = `10.${number}`;
  const six = `fd6d:0:${number.toString(16)}`;
  return {
    number,
    link: `nmbed${number}`,
    range: `${four}.0.0/16`,
    range6: `${six}::/48`,
    uplinkHost: `${four}.1.1`,
    uplinkPlane: `${four}.1.2`,
    plane: `${four}.0.1`,
    plane6: `${six}::1`,
    podRange: `${four}.64.0/18`,
    podRange6: `${six}:40::/58`,
    serviceRange: `${four}.128.0/17`,
    serviceRange6: `${six}:80::/112`,
    kubernetesService: `${four}.128.1`,
    dns: `${four}.128.10`,
    nodes: Array.from({ length: nodeCount }, (_, at) => ({
      name: `node-${at + 1}`,
      address: `${four}.0.${11 + at}`,
      address6: `${six}::${11 + at}`,
      podRange: `${four}.${64 + at}.0/24`,
      podRange6: `${six}:${(64 + at).toString(16)}::/64`,
    })),
  };
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function overlaps(route: string, number: number): boolean {
  const [address = "", bits = "32"] = route.split("/");
  const size = 2 ** (32 - Number(bits));
  const start = Math.floor(toNumber(address) / size) * size;
  const own = (10 * 256 + number) * 65536;
  return start < own + 65536 && own < start + size;
}

/**
 * The first number of 128 to 191 whose range overlaps none of the host's routes; undefined when none is free. (Meshes of local mode
 * choose below 128.)
 */
export function freeNumber(routes: readonly string[]): number | undefined {
  const taken = routes.filter((route) => /^\d+\.\d+\.\d+\.\d+(\/\d+)?$/.test(route));
  const numbers = Array.from({ length: 64 }, (_, at) => 128 + at);
  return numbers.find((number) => !taken.some((route) => overlaps(route, number)));
}

export interface Layout {
  readonly state: string;
  readonly logs: string;
  readonly certificates: string;
  readonly pids: string;
  readonly record: string;
  readonly kubeconfig: string;
  /** Path of the bed's cgroup in each hierarchy, absolute. */
  readonly cgroup: string;
  log(part: string): string;
  pid(part: string): string;
  /** Folder with what is a node's own, mounted where the node looks for it. */
  node(name: string): string;
}

export function layoutOf(state: string): Layout {
  return {
    state,
    logs: join(state, "logs"),
    certificates: join(state, "certificates"),
    pids: join(state, "pids"),
    record: join(state, "bed.json"),
    kubeconfig: join(state, "kubeconfig"),
    cgroup: `/nginx-mesh-testbed-${shortHash(state)}`,
    log: (part) => join(state, "logs", `${part}.log`),
    pid: (part) => join(state, "pids", part),
    node: (name) => join(state, "nodes", name),
  };
}

/** Where the beds of all checkouts are that name no folder of their own. */
export const stateRoot = "/var/lib/nginx-mesh-testbed";

/** The state folder of a checkout: its own, so that two of them do not meet, and outside of it, so that cleaning does not pull it away. */
export function stateFolder(checkout: string, wanted: string | undefined): string {
  return wanted ?? join(stateRoot, shortHash(checkout));
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
