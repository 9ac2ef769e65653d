/** What is really on the wire of a pod, and changes to its network that only root can make. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { PodView } from "../../src/local/control.ts";
import type { TestMesh } from "./mesh.ts";
import { sidecarProcesses } from "./sidecar.ts";

/** ServerHello's key_share with X25519MLKEM768: extension 51 of 1124 bytes, group 0x11ec (draft-ietf-tls-ecdhe-mlkem). */
export const hybridKeyShare = Buffer.from("0033046411ec0460", "hex");
/** ServerHello's pre_shared_key, first identity: the session is resumed (RFC 8446, 4.2.11). */
export const resumed = Buffer.from("002900020000", "hex");
/** A TLS record with a ServerHello, up to its length. */
export const serverHelloRecord = Buffer.from("160303", "hex");

export interface Capture {
  /** Ends the capture; the packets' bytes, in the format of pcap. */
  stop(): Promise<Buffer>;
}

function command(mesh: TestMesh, pod: PodView, args: readonly string[]): readonly string[] {
  return ["--net", "--target", String(sidecarProcesses(pod, mesh).master), "--", ...args];
}

/** Records what leaves and enters a meshed pod. */
export async function capture(mesh: TestMesh, pod: PodView, filter: string): Promise<Capture> {
  const args = [
    "tcpdump",
    "--immediate-mode",
    "-i",
    "eth0",
    "-s",
    "0",
    "-U",
    "-w",
    "-",
    ...filter.split(" "),
  ];
  const child = spawn("nsenter", command(mesh, pod, args), { stdio: ["ignore", "pipe", "pipe"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("listening on")) {
        resolve();
      }
    });
    child.on("close", () => reject(new Error(`tcpdump ended: ${said}`)));
  });
  return {
    async stop() {
      // on a busy machine the last packets come late
      for (let seen = -1; seen !== chunks.length;) {
        seen = chunks.length;
        await sleep(300);
      }
      child.kill("SIGINT");
      await once(child, "close");
      return Buffer.concat(chunks);
    },
  };
}

/** How often the bytes occur. */
export function occurrences(bytes: Buffer, part: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(part); at >= 0; at = bytes.indexOf(part, at + part.length)) {
    count += 1;
  }
  return count;
}

/** Takes one of the chains of the capture rules away, as someone with root in the pod could. */
export async function removeCapture(
  mesh: TestMesh,
  pod: PodView,
  chain: "OUTPUT" | "PREROUTING",
): Promise<void> {
  const args = ["iptables", "-t", "nat", "-F", `NGINX_MESH_${chain}`];
  await promisify(execFile)("nsenter", [...command(mesh, pod, args)]);
}

/** Lets a pod refuse all new connections and reset those that are open, or stops that. */
export async function setRefusing(mesh: TestMesh, pod: PodView, refusing: boolean): Promise<void> {
  const rule = "INPUT -i eth0 -p tcp -j REJECT --reject-with tcp-reset".split(" ");
  const args = ["iptables", refusing ? "-I" : "-D", ...rule];
  await promisify(execFile)("nsenter", [...command(mesh, pod, args)]);
}
