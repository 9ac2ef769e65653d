/** What the sidecars of a test mesh say of themselves. */
import { readFileSync } from "node:fs";
import { get } from "node:http";
import type { TestContext } from "node:test";
import type { PodView } from "../../src/local/control.ts";
import { ports } from "../../src/wire/sidecar.ts";
import type { TestMesh } from "./mesh.ts";
import { hostProcess, meshProcesses } from "./processes.ts";

export interface SidecarStatus {
  readonly ready: boolean;
  readonly reason?: string;
  readonly pod: string;
  readonly worker: number;
  readonly configuration: {
    /** Eight hexadecimal digits, the same for sidecars that hold the same. */
    readonly version: string;
    readonly keys: number;
    /** Seconds since 1970. */
    readonly changedAt: number;
    readonly complete: boolean;
    readonly mtlsMode: string;
    readonly clientMaxBodySize: number;
  };
  readonly nats: { readonly state: string; readonly reconnects: number };
  /** Times in seconds since 1970. */
  readonly svid: { readonly spiffeId: string; readonly expiresAt: number; readonly updates: number };
  readonly connections: number;
  readonly destinations?: readonly DestinationStatus[];
}

export interface DestinationStatus {
  readonly destination: string;
  readonly protocol: string;
  readonly balancing: string;
  readonly endpoints?: readonly EndpointStatus[];
  readonly backends?: readonly { readonly service: string; readonly weight: number }[];
}

export interface EndpointStatus {
  readonly address: string;
  readonly port: number;
  readonly pod: string;
  readonly mtls: boolean;
  readonly state: string;
  readonly reason: string;
  readonly inFlight: number;
  readonly requests: number;
}

/** The body at a port of the pod, asked from the host. */
export function askPod(pod: PodView, port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const message = get({ host: pod.address, port, path, agent: false, timeout: 5000 }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    message.on("timeout", () => message.destroy(new Error(`no answer of ${pod.name}:${port}`)));
    message.on("error", reject);
  });
}

export async function sidecarStatus(pod: PodView): Promise<SidecarStatus> {
  return JSON.parse((await askPod(pod, ports.status, "/")).body) as SidecarStatus;
}

export async function sidecarMetrics(pod: PodView): Promise<string> {
  return (await askPod(pod, ports.metrics, "/metrics")).body;
}

/** Process ids, on this machine, of the sidecar's nginx. */
export function sidecarProcesses(pod: PodView, mesh: TestMesh): { master: number; workers: number[] } {
  const outer = hostProcess(mesh, pod.containers.find((container) => container.name === "sidecar")?.pid);
  const all = meshProcesses(mesh);
  const master = [outer, ...all.filter((entry) => entry.parent === outer.pid)].find((entry) =>
    entry.title.startsWith("nginx: master"),
  );
  if (master === undefined) {
    throw new Error(`pod ${pod.name} has no nginx`);
  }
  return {
    master: master.pid,
    workers: all.filter((entry) => entry.parent === master.pid).map(({ pid }) => pid),
  };
}

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** For `afterEach`: shows the sidecars' states and the ends of their logs when the test has failed. */
export async function showSidecars(context: TestContext, mesh: TestMesh | undefined): Promise<void> {
  // `passed` is not in the types yet
  if ((context as TestContext & { readonly passed: boolean }).passed || mesh === undefined) {
    return;
  }
  const { pods } = await mesh.view();
  for (const pod of pods.filter((entry) => entry.meshed)) {
    const status = await askPod(pod, ports.status, "/").catch((error: Error) => ({ body: error.message }));
    const log = mesh.log(pod, "sidecar").split("\n").slice(-12).join("\n  ");
    context.diagnostic(`${pod.name} ${status.body.slice(0, 3000)}\n  ${log}`);
  }
}
