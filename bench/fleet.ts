/** Twenty pods: how long they take to come up, how soon a change is in force in all of them, what they cost at rest. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "./commands.ts";
import { watchChanges } from "./changes.ts";
import { figure, type Figure } from "./figures.ts";
import { split, workload } from "./manifests.ts";
import { cpuTime, processes, pss, rss } from "./processes.ts";
import type { Programs } from "./programs.ts";
import { appCommand, podsOf, serviceAddress, type MeshPod } from "./systems/mesh.ts";
import { startMesh, type TestMesh } from "../test/e2e/mesh.ts";

const podCount = 20;
const changeCount = 100;
const restSeconds = 20;

export async function measureFleet(
  programs: Programs,
  progress: (text: string) => void,
): Promise<readonly Figure[]> {
  progress(`${podCount} pods`);
  const marker = `${process.pid}-fleet`;
  const command = (name: string): readonly string[] => appCommand(programs, name, marker);
  const backend = (name: string, replicas: number): string =>
    workload({ name, replicas, command: command(name) });
  const began = performance.now();
  const mesh = await startMesh({
    "clients.yaml": backend("client", podCount - 2),
    "one.yaml": backend("one", 1),
    "two.yaml": backend("two", 1),
    "split.yaml": split("one", weights(0)),
  });
  const up = (performance.now() - began) / 1000;
  try {
    const pods = ["client", "one", "two"].flatMap((name) => podsOf(programs, name, marker));
    if (pods.length !== podCount) {
      throw new Error(`${pods.length} of ${podCount} pods are to be found among the machine's processes`);
    }
    progress("at rest");
    const rest = await measureRest(mesh, pods);
    const changes = await measureChanges(programs, mesh, pods, progress);
    progress("starts of sidecars");
    const starts = await measureStarts(programs, pods);
    return [
      figure({ metric: "mesh-up", title: `a mesh of ${podCount} pods up`, unit: "s", goal: 10 }, [up]),
      figure({ metric: "start", title: "sidecar: process start to ready", unit: "ms", goal: 300 }, starts),
      changes,
      ...rest,
    ];
  } finally {
    await mesh.stop();
  }
}

function weights(change: number): { service: string; weight: number }[] {
  const toTwo = change % 2;
  return [
    { service: "one", weight: 1 - toTwo },
    { service: "two", weight: toTwo },
  ];
}

async function measureRest(mesh: TestMesh, pods: readonly MeshPod[]): Promise<readonly Figure[]> {
  const controller = processes().find(
    (each) =>
      each.command.some((part) => part.endsWith("controller.mjs")) &&
      each.command.includes(mesh.layout.status),
  );
  if (controller === undefined) {
    throw new Error("the controller's process is not to be found");
  }
  await sleep(5000);
  const shares = await idleShares([[controller.pid], ...pods.map((pod) => pod.sidecar.pids)]);
  const memory = pods.map((pod) => pss(pod.sidecar.pids));
  const at = `at ${podCount} pods`;
  const percent = { unit: "% of a core", goal: 0.2 };
  return [
    figure({ metric: "controller-rss", title: `RSS of the controller ${at}`, unit: "MiB", goal: 100 }, [
      rss(controller.pid),
    ]),
    figure(
      { ...percent, metric: "controller-idle", title: `CPU of the controller at rest ${at}` },
      shares.slice(0, 1),
    ),
    figure(
      { ...percent, metric: "sidecar-idle", title: "CPU of a sidecar at rest (the highest of all)" },
      shares.slice(1),
      1,
    ),
    figure({ metric: "pss-fleet", title: `PSS of a sidecar, idle, ${at}`, unit: "MiB", goal: 12 }, memory),
  ];
}

/** Percent of a core that each group of processes takes when nothing happens. */
async function idleShares(groups: readonly (readonly number[])[]): Promise<readonly number[]> {
  const before = groups.map(cpuTime);
  await sleep(restSeconds * 1000);
  return groups.map((pids, index) => ((cpuTime(pids) - (before[index] ?? 0)) / 1e9 / restSeconds) * 100);
}

async function measureChanges(
  programs: Programs,
  mesh: TestMesh,
  pods: readonly MeshPod[],
  progress: (text: string) => void,
): Promise<Figure> {
  const target = `${serviceAddress(mesh, "one")}:8080`;
  const watch = await watchChanges(pods.map((pod) => [...pod.enter, programs.probe, "-t", target]));
  const times: number[] = [];
  try {
    for (let change = 1; change <= changeCount; change++) {
      if (change % 25 === 1) {
        progress(`change ${change} of ${changeCount}`);
      }
      const wanted = change % 2 === 1 ? "two" : "one";
      const written = process.hrtime.bigint();
      mesh.write("split.yaml", split("one", weights(change)));
      const last = await watch.allSee((name) => name.startsWith(`${wanted}.`));
      times.push(Number(last - written) / 1e6);
      // changes must not fall into step with the probes
      await sleep(100 + ((change * 37) % 50));
    }
  } finally {
    await watch.stop();
  }
  const title = `a change of a manifest in force in all of ${podCount} sidecars (p99 of the changes)`;
  return figure({ metric: "change", title, unit: "ms", goal: 100 }, times, 0.99);
}

/** Ends each sidecar once and measures the one that local mode starts in its place. */
async function measureStarts(programs: Programs, pods: readonly MeshPod[]): Promise<readonly number[]> {
  const times: number[] = [];
  for (const pod of pods) {
    pod.sidecar.pids.forEach(endProcess);
    while (nginxIn(pod).some((pid) => pod.sidecar.pids.includes(pid))) {
      await sleep(1);
    }
    const ready = Number(await run([...pod.enter, programs.ready, "8886"])) / 1e6;
    const started = Math.min(...nginxIn(pod).map(startTime));
    times.push(ready - started);
  }
  return times;
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // workers end with their master
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") {
      throw error;
    }
  }
}

function nginxIn(pod: MeshPod): readonly number[] {
  const all = processes();
  const network = all.find((each) => each.pid === pod.pid)?.network;
  return all.filter((each) => each.name === "nginx" && each.network === network).map((each) => each.pid);
}

/** Milliseconds since boot, in steps of 10: proc(5), field 22 of stat in ticks of 1/100 s. */
function startTime(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[19]) * 10;
}
