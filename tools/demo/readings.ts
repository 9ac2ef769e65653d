/** What the demo looks at: the report of the traffic itself, and the statistics of the mesh. */
import { readFileSync } from "node:fs";

import { ask, bySocket } from "../../src/cli/ask.ts";
import type { LocalStatus } from "../../src/cluster/local-status.ts";
import { layoutOf } from "../../src/local/layout.ts";
import type { EdgeTraffic, ResourceTraffic } from "../../src/metrics/traffic.ts";

/** Counts since the traffic began; as examples/shop/apps/traffic.ts answers. */
export interface Report {
  /** Milliseconds since 1970; 0 while it waits for the services. */
  readonly startedAt: number;
  /** Name of a check → what it waits for. */
  readonly waitingFor: Readonly<Record<string, string>>;
  /** Answers of the catalog by version. */
  readonly versions: { readonly v1: number; readonly v2: number };
  readonly checks: Readonly<
    Record<string, { readonly total: number; readonly failed: number; readonly lastError: string }>
  >;
}

export interface Traffic {
  readonly resources: readonly ResourceTraffic[];
  readonly edges: readonly EdgeTraffic[];
}

export interface Reading {
  readonly report: Report;
  /** Of the last `statisticsWindow` seconds. */
  readonly traffic: Traffic;
}

export const statisticsWindow = 5;
const timeout = 2000;

/** The pods of a mesh as its engine has written them. */
export function readPods(state: string): LocalStatus["pods"] {
  return (JSON.parse(readFileSync(layoutOf(state).status, "utf8")) as LocalStatus).pods;
}

function trafficAddress(state: string): string {
  const pod = readPods(state).find((each) => each.owner.name === "traffic" && !each.terminating);
  if (pod === undefined) {
    throw new Error("there is no pod of the traffic");
  }
  return pod.address;
}

/** Asks the traffic for its report; throws when it does not answer. */
export async function readReport(state: string): Promise<Report> {
  const url = `http://${trafficAddress(state)}:9000/report`;
  const response = await fetch(url, { signal: AbortSignal.timeout(timeout) });
  if (!response.ok) {
    throw new Error(`${url} answers ${response.status}`);
  }
  return (await response.json()) as Report;
}

async function readTraffic(state: string, kind: string): Promise<Traffic> {
  const way = bySocket(layoutOf(state).controllerSocket);
  const path = `/top?kind=${kind}&namespace=shop&window=${statisticsWindow}s`;
  const question = { ...way, timeout, whom: "the controller" };
  const [resources, edges] = await Promise.all([
    ask({ ...question, path }),
    ask({ ...question, path: `${path}&edges=all` }),
  ]);
  return {
    resources: (resources as Pick<Traffic, "resources">).resources,
    edges: (edges as Pick<Traffic, "edges">).edges,
  };
}

/** Both at a moment. */
export async function read(state: string): Promise<Reading> {
  const [report, ...traffic] = await Promise.all([
    readReport(state),
    readTraffic(state, "deployments"),
    readTraffic(state, "statefulsets"),
  ]);
  const resources = traffic.flatMap((part) => part.resources);
  return { report, traffic: { resources, edges: traffic.flatMap((part) => part.edges) } };
}
