/** What containers use, as their nodes' kubelets tell (Summary API, `/stats/summary`). */
import * as z from "zod";
import type { Api } from "./api.ts";

export interface Usage {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** MiB */
  readonly rss: number;
  readonly workingSet: number;
  /** Seconds of one core since the container's start. */
  readonly cpu: number;
  /** When that was so; milliseconds since 1970. */
  readonly cpuAt: number;
}

const nodeList = z.object({ items: z.array(z.object({ metadata: z.object({ name: z.string() }) })) });
const summary = z.object({
  pods: z.array(
    z.object({
      podRef: z.object({ name: z.string(), namespace: z.string() }),
      containers: z
        .array(
          z.object({
            name: z.string(),
            memory: z.object({ rssBytes: z.number(), workingSetBytes: z.number() }).optional(),
            cpu: z.object({ time: z.string(), usageCoreNanoSeconds: z.number() }).optional(),
          }),
        )
        .default([]),
    }),
  ),
});

/** Of all containers that run and that the kubelets have figures of. */
export async function usages(api: Api): Promise<readonly Usage[]> {
  const nodes = nodeList.parse(await api.request("GET", "/api/v1/nodes")).items;
  const found: Usage[] = [];
  for (const { metadata } of nodes) {
    const path = `/api/v1/nodes/${metadata.name}/proxy/stats/summary`;
    for (const { podRef, containers } of summary.parse(await api.request("GET", path)).pods) {
      for (const { name, memory, cpu } of containers) {
        if (memory !== undefined && cpu !== undefined) {
          found.push({
            namespace: podRef.namespace,
            pod: podRef.name,
            container: name,
            rss: memory.rssBytes / 2 ** 20,
            workingSet: memory.workingSetBytes / 2 ** 20,
            cpu: cpu.usageCoreNanoSeconds / 1e9,
            cpuAt: Date.parse(cpu.time),
          });
        }
      }
    }
  }
  return found;
}
