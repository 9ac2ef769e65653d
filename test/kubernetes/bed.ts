/** The parts of the test bed, for tests that take them away. Another cluster's are nobody's to stop. */
import { join } from "node:path";
import { run } from "./fixture.ts";

const program = join(import.meta.dirname, "../../testbed/cluster.ts");

async function cluster(...args: readonly string[]): Promise<string> {
  // switching kube-proxy waits for the rules of each node
  return run(process.execPath, [program, ...args], { timeout: 150 });
}

/** Why a test cannot run here, as `skip` of node:test; false when the cluster of KUBECONFIG is the test bed. */
export async function notTheBed(): Promise<string | false> {
  const own = (await cluster("kubeconfig")).trim();
  return process.env["KUBECONFIG"] === own
    ? false
    : "stops parts of the test bed, and this is another cluster";
}

export const signalPart = (part: string, signal: "STOP" | "CONT"): Promise<string> =>
  cluster("signal", part, signal);

export type ProxyMode = "iptables" | "nftables";
export const proxyMode = async (): Promise<ProxyMode> => (await cluster("proxy")).trim() as ProxyMode;
export const switchProxy = (mode: ProxyMode): Promise<string> => cluster("proxy", mode);
