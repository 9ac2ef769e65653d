/** Memory of a sidecar: idle, and with 100 Services in use, in a small cluster and in a large one. */
import { setTimeout as sleep } from "node:timers/promises";
import { CommandError, run } from "./commands.ts";
import { figure, type Figure } from "./figures.ts";
import { services, workload } from "./manifests.ts";
import { pss } from "./processes.ts";
import type { Programs } from "./programs.ts";
import { appCommand, podsOf, serviceAddress } from "./systems/mesh.ts";
import { startMesh } from "../test/e2e/mesh.ts";

const inUse = 100;

/** A mesh of three pods and so many Services; every Service that is used has one request under way at a time. */
export async function measureFootprint(
  programs: Programs,
  clusterServices: number,
): Promise<readonly Figure[]> {
  const marker = `${process.pid}-${clusterServices}`;
  const names = Array.from({ length: clusterServices }, (_, index) => `service-${index}`);
  const half = clusterServices / 2;
  const command = (name: string): readonly string[] => appCommand(programs, name, marker);
  const mesh = await startMesh(
    {
      "client.yaml": workload({ name: "client", replicas: 1, command: command("client") }),
      "a.yaml": workload({ name: "a", replicas: 1, command: command("a") }),
      "b.yaml": workload({ name: "b", replicas: 1, command: command("b") }),
      "services-a.yaml": services(names.slice(0, half), "a"),
      "services-b.yaml": services(names.slice(half), "b"),
    },
    { timeout: "300s" },
  );
  try {
    const [client] = podsOf(programs, "client", marker);
    const [other] = podsOf(programs, "a", marker);
    if (client === undefined || other === undefined) {
      throw new Error("the pods are not to be found among the machine's processes");
    }
    const idle = pss(client.sidecar.pids);
    const used = names.filter((_, index) => index % (clusterServices / inUse) === 0);
    const targets = used.flatMap((name) => ["-t", `${serviceAddress(mesh, name)}:8080`]);
    const load = [programs.load, "-p", "http", "-u", "/small", "-e", "128", "-c", String(inUse), ...targets];
    // another pod finds out, so that the measured one sees nothing but its traffic
    await untilAnswered([...other.enter, ...load, "-r", "500", "-d", "0.5"]);
    await run([...client.enter, ...load, "-r", "2000", "-d", "5"]);
    const after = pss(client.sidecar.pids);
    const size = `cluster of ${clusterServices.toLocaleString("en")} Services`;
    const base = { unit: "MiB" };
    return [
      figure(
        {
          ...base,
          metric: `pss-idle-${clusterServices}`,
          title: `PSS of a sidecar, idle, ${size}`,
          goal: 12,
        },
        [idle],
      ),
      figure(
        {
          ...base,
          metric: `pss-used-${clusterServices}`,
          title: `PSS of a sidecar, ${inUse} Services in use, ${size}`,
          goal: 16,
        },
        [after],
      ),
    ];
  } finally {
    await mesh.stop();
  }
}

/** The pods are ready before the endpoints of ten thousand Services are known everywhere. Throws after two minutes. */
async function untilAnswered(load: readonly string[]): Promise<void> {
  const end = performance.now() + 120_000;
  for (;;) {
    try {
      await run(load);
      return;
    } catch (error) {
      if (!(error instanceof CommandError) || performance.now() > end) {
        throw error;
      }
      await sleep(500);
    }
  }
}
