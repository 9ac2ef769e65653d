/** What is compared: the same client and servers with different things between them. */
import type { Kind } from "../kinds.ts";
import type { Proxy } from "../processes.ts";

/** `captured`: native, with connections captured by iptables as the mesh does, which shows what that alone costs. */
export type SystemName = "direct" | "native" | "captured" | "mesh";

export interface System {
  readonly name: SystemName;
  /** What a command line begins with to run where the client is. */
  readonly inClient: readonly string[];
  readonly proxies: readonly Proxy[];
  /** Where the client sends requests of a kind: ADDRESS:PORT, one or several. */
  targets(kind: Kind): readonly string[];
  stop(): Promise<void>;
}
