/** What the mesh costs at rest, with twenty meshed pods. */
import { setTimeout as sleep } from "node:timers/promises";
import { figure, type Figure } from "../figures.ts";
import { meshNamespace, sidecar } from "../../test/kubernetes/mesh.ts";
import type { Api } from "./api.ts";
import { usages, type Usage } from "./usage.ts";

/** Seconds; the kubelets look at their containers every ten or so. */
const restSeconds = 60;

const isAgent = (usage: Usage): boolean => usage.pod.startsWith("spire-agent");
const isControlPlane = (usage: Usage): boolean => usage.namespace === meshNamespace && !isAgent(usage);
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const nameOf = ({ namespace, pod, container }: Usage): string => `${namespace}/${pod}/${container}`;

/** Cores that each container has used between two looks. */
function cores(before: readonly Usage[], after: readonly Usage[]): ReadonlyMap<string, number> {
  const earlier = new Map(before.map((usage) => [nameOf(usage), usage]));
  return new Map(
    after.flatMap((usage): [string, number][] => {
      const old = earlier.get(nameOf(usage));
      return old === undefined || usage.cpuAt <= old.cpuAt
        ? []
        : [[nameOf(usage), ((usage.cpu - old.cpu) * 1000) / (usage.cpuAt - old.cpuAt)]];
    }),
  );
}

export async function measureRest(api: Api, namespace: string): Promise<readonly Figure[]> {
  const before = await usages(api);
  await sleep(restSeconds * 1000);
  const after = await usages(api);
  const used = cores(before, after);
  const isSidecar = (usage: Usage): boolean => usage.namespace === namespace && usage.container === sidecar;
  const cpuOf = (of: (usage: Usage) => boolean): number[] =>
    after.filter(of).flatMap((usage) => used.get(nameOf(usage)) ?? []);
  const controlPlane = after.filter(isControlPlane);
  const parts = [...new Set(controlPlane.map(({ container }) => container))].toSorted();
  const memory = { unit: "MiB" } as const;
  const cpu = { unit: "cores" } as const;
  const rssOf = (container: string): number =>
    sum(controlPlane.filter((usage) => usage.container === container).map(({ rss }) => rss));
  return [
    figure({ ...memory, metric: "k8s-control-plane-rss", title: "RSS of the control plane", goal: 200 }, [
      sum(controlPlane.map(({ rss }) => rss)),
    ]),
    ...parts.map((part) =>
      figure({ ...memory, metric: `k8s-rss-${part}`, title: `of it, ${part}` }, [rssOf(part)]),
    ),
    figure(
      { ...memory, metric: "k8s-agent-rss", title: "RSS of a SPIRE agent" },
      after.filter(isAgent).map(({ rss }) => rss),
    ),
    figure({ ...cpu, metric: "k8s-control-plane-cpu", title: "CPU of the control plane", goal: 0.02 }, [
      sum(cpuOf(isControlPlane)),
    ]),
    ...parts.map((part) =>
      figure({ ...cpu, metric: `k8s-cpu-${part}`, title: `of it, ${part}` }, [
        sum(cpuOf((usage) => isControlPlane(usage) && usage.container === part)),
      ]),
    ),
    figure({ ...cpu, metric: "k8s-agent-cpu", title: "CPU of a SPIRE agent" }, cpuOf(isAgent)),
    figure(
      { ...memory, metric: "k8s-sidecar", title: "working set of a sidecar (the largest)", goal: 16 },
      after.filter(isSidecar).map(({ workingSet }) => workingSet),
      1,
    ),
    figure(
      { ...cpu, metric: "k8s-sidecar-cpu", title: "CPU of a sidecar (the highest)" },
      cpuOf(isSidecar),
      1,
    ),
  ];
}
