/** What injection costs a pod that starts: the webhook's time, and how much later it is ready. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { appContainer } from "../../test/kubernetes/app.ts";
import { figure, type Figure } from "../figures.ts";
import { median, quantile } from "../statistics.ts";
import type { Api } from "./api.ts";

const webhookRounds = 300;
const startRounds = 15;
const autoInject = "injector.nsm.nginx.com/auto-inject";

function podNamed(name: string, meshed: boolean): object {
  const labels = { app: "start", [autoInject]: meshed ? "enabled" : "disabled" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels },
    spec: { terminationGracePeriodSeconds: 0, containers: [appContainer(["serve"])] },
  };
}

/** Milliseconds of creating a pod that is thrown away. */
async function dryRun(api: Api, namespace: string, name: string, meshed: boolean): Promise<number> {
  const began = performance.now();
  await api.request("POST", `/api/v1/namespaces/${namespace}/pods?dryRun=All`, podNamed(name, meshed));
  return performance.now() - began;
}

export async function measureWebhook(api: Api, namespace: string): Promise<Figure> {
  const plain: number[] = [];
  const meshed: number[] = [];
  for (let round = 0; round < webhookRounds; round++) {
    plain.push(await dryRun(api, namespace, `plain-${round}`, false));
    meshed.push(await dryRun(api, namespace, `meshed-${round}`, true));
  }
  const without = median(plain);
  const added = meshed.slice(startRounds).map((time) => time - without);
  const base = { metric: "k8s-webhook", title: "creation of a pod: what injection adds (p99)" };
  return figure({ ...base, unit: "ms", goal: 20 }, added, 0.99);
}

const podStatus = z.object({
  status: z.object({
    conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
  }),
});

/** Seconds from the creation of a pod to its readiness. */
async function start(api: Api, namespace: string, name: string, meshed: boolean): Promise<number> {
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const began = performance.now();
  await api.request("POST", pods, podNamed(name, meshed));
  for (;;) {
    const { status } = podStatus.parse(await api.request("GET", `${pods}/${name}`));
    if (status.conditions.some((each) => each.type === "Ready" && each.status === "True")) {
      break;
    }
    if (performance.now() - began > 60_000) {
      throw new Error(`pod ${namespace}/${name} is not ready within 60 s`);
    }
    await sleep(20);
  }
  const took = (performance.now() - began) / 1000;
  await api.request("DELETE", `${pods}/${name}`);
  return took;
}

/** Pods with and without a sidecar in turn, one at a time. */
export async function measureStarts(api: Api, namespace: string): Promise<readonly Figure[]> {
  const plain: number[] = [];
  const meshed: number[] = [];
  for (let round = 0; round < startRounds; round++) {
    plain.push(await start(api, namespace, `start-plain-${round}`, false));
    meshed.push(await start(api, namespace, `start-meshed-${round}`, true));
    await sleep(500);
  }
  const later = meshed.map((time) => time - median(plain));
  const base = { unit: "s" } as const;
  return [
    figure({ ...base, metric: "k8s-start-plain", title: "creation to ready, without the mesh" }, plain),
    figure({ ...base, metric: "k8s-start", title: "ready later than without the mesh", goal: 1.5 }, later),
    figure({ ...base, metric: "k8s-start-worst", title: "the same, 9 of 10 pods at most" }, [
      quantile(later, 0.9),
    ]),
  ];
}
