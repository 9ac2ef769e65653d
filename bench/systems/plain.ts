/** The systems without a mesh: nothing between client and servers, or hand-written nginx on both sides (bench/native). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runNow, startProgram, type RunningProgram } from "../commands.ts";
import { createNetwork, type Network, type Pod } from "../network.ts";
import { processTree } from "../processes.ts";
import type { Programs } from "../programs.ts";
import type { System } from "./system.ts";

export const sidecarRoot = process.env["NGINX_MESH_ROOT"] ?? "/var/cache/nginx-mesh/sidecar-root";
const configuration = join(import.meta.dirname, "../native");

/** Client and servers in namespaces, and nothing else. */
export async function startDirect(programs: Programs): Promise<System> {
  const network = createNetwork("d");
  const running = startApps(network, programs);
  await Promise.all(network.servers.map((pod) => ready(network.client, `${pod.address}:8080`, running)));
  return {
    name: "direct",
    inClient: network.client.enter,
    proxies: [],
    targets: (kind) => network.servers.map((pod) => `${pod.address}:${kind.port}`),
    stop: () => stopAll(network, running),
  };
}

/** The hand-written pair: one nginx beside the client, one beside each server. */
export function startNative(programs: Programs): Promise<System> {
  return startPair(programs, createNetwork("n"), false);
}

/** The same, and the client and the servers' clients do not know of it. */
export function startCaptured(programs: Programs): Promise<System> {
  return startPair(programs, createNetwork("k"), true);
}

async function startPair(programs: Programs, network: Network, captured: boolean): Promise<System> {
  const running = startApps(network, programs);
  const certificates = mkdtempSync(join(tmpdir(), "nginx-mesh-bench-"));
  const nginx: { readonly pod: Pod; readonly program: RunningProgram }[] = [];
  try {
    makeCertificates(certificates);
    for (const pod of [network.client, ...network.servers]) {
      const side = pod === network.client ? "client" : "server";
      nginx.push({ pod, program: startProgram([...pod.enter, ...nginxCommand(side, certificates)]) });
    }
    running.push(...nginx.map((each) => each.program));
    await ready(network.client, "127.0.0.1:8080", running);
    await Promise.all(network.servers.map((pod) => ready(network.client, `${pod.address}:8443`, running)));
    if (captured) {
      capture(network);
    }
  } catch (error) {
    await stopAll(network, running);
    throw error;
  } finally {
    rmSync(certificates, { recursive: true });
  }
  const address = captured ? (network.servers[0] as Pod).address : "127.0.0.1";
  return {
    name: captured ? "captured" : "native",
    inClient: network.client.enter,
    proxies: nginx.map(({ pod, program }) => ({ pod: pod.name, pids: processTree(program.pid) })),
    targets: (kind) => [`${address}:${kind.port}`],
    stop: () => stopAll(network, running),
  };
}

/** REDIRECT to the same port of the pod itself; what the proxies send is left alone. */
function capture(network: Network): void {
  const rules = (lines: readonly string[]): string => ["*nat", ...lines, "COMMIT", ""].join("\n");
  const out = "-A OUTPUT -p tcp -m owner ! --uid-owner nobody ! -o lo -j REDIRECT";
  runNow([...network.client.enter, "iptables-restore"], rules([out]));
  for (const pod of network.servers) {
    runNow([...pod.enter, "iptables-restore"], rules(["-A PREROUTING -p tcp -j REDIRECT"]));
  }
}

function startApps(network: Network, programs: Programs): RunningProgram[] {
  return network.servers.map((pod) => startProgram([...pod.enter, programs.app]));
}

async function stopAll(network: Network, running: readonly RunningProgram[]): Promise<void> {
  await Promise.all(running.map((program) => program.stop()));
  network.remove();
}

/** nginx of the sidecar's root, with the folders of the benchmark mounted where a sidecar has its own. */
function nginxCommand(side: "client" | "server", certificates: string): readonly string[] {
  const script = `
    mount --bind "$2" "$1/usr/share/nginx-mesh"
    mount -t tmpfs -o size=8m tmpfs "$1/run/nginx-mesh"
    cp "$3"/* "$1/run/nginx-mesh"
    exec chroot "$1" /usr/sbin/nginx -c "/usr/share/nginx-mesh/$4.conf" -g "daemon off;"`;
  return ["sh", "-ec", script, "sh", sidecarRoot, configuration, certificates, side];
}

/** A CA and two certificates for P-256 keys, as the mesh's are. */
function makeCertificates(folder: string): void {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const file = (name: string): string => join(folder, name);
  const ca = [
    "-x509",
    "-subj",
    "/CN=bench CA",
    "-days",
    "2",
    "-keyout",
    file("ca.key"),
    "-out",
    file("ca.pem"),
  ];
  runNow(["openssl", "req", ...key, ...ca]);
  for (const name of ["client", "server"]) {
    const issue = [
      "-x509",
      "-CA",
      file("ca.pem"),
      "-CAkey",
      file("ca.key"),
      "-days",
      "2",
      "-subj",
      `/CN=${name}.bench`,
    ];
    const extensions = [
      `subjectAltName=DNS:${name}.bench,URI:spiffe://bench/ns/bench/sa/${name}`,
      "basicConstraints=critical,CA:FALSE",
    ];
    const out = ["-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)];
    runNow(["openssl", "req", ...key, ...issue, ...extensions.flatMap((each) => ["-addext", each]), ...out]);
  }
}

/** Waits until something listens there. Throws when one of the programs has ended, or after ten seconds. */
async function ready(from: Pod, target: string, running: readonly RunningProgram[]): Promise<void> {
  const [address, port] = target.split(":") as [string, string];
  const probe = `: </dev/tcp/${address}/${port}`;
  for (let tries = 0; tries < 100; tries++) {
    const ended = running.find((program) => program.process.exitCode !== null);
    if (ended !== undefined) {
      throw new Error(`a program of the benchmark ended: ${ended.errors()}`);
    }
    try {
      runNow([...from.enter, "bash", "-c", probe]);
      return;
    } catch {
      await sleep(100);
    }
  }
  throw new Error(`nothing listens on ${target}`);
}
