/** Waiting until the control plane runs. */
import { setTimeout as sleep } from "node:timers/promises";

import { askPod, controllerName, controllerPod } from "./cluster-mesh.ts";
import { clusterParts } from "./cluster-status.ts";
import { CommandError, exitStatus } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import type { Output } from "./program.ts";
import { reminder } from "./progress.ts";
import type { ControllerStatus, MeshPart } from "./status-text.ts";

const interval = 1000;

function isReady(part: MeshPart): boolean {
  return part.ready >= part.wanted;
}

/** What is missing, a line a workload. */
export function missing(parts: readonly MeshPart[]): string {
  return parts
    .filter((part) => !isReady(part))
    .map((part) => {
      const why = part.troubles.map((trouble) => `\n    ${trouble}`).join("");
      return `  ${part.name}: ${part.ready} of ${part.wanted} pods are ready${why}`;
    })
    .join("\n");
}

/** Says each workload when it is ready, then asks the controller. Throws CommandError when not all is well within the client's time. */
export async function untilReady(client: KubeClient, namespace: string, output: Output): Promise<void> {
  await untilRolledOut(client, namespace, output);
  await untilPublished(client, namespace);
}

async function untilRolledOut(client: KubeClient, namespace: string, output: Output): Promise<void> {
  const said = new Set<string>();
  const { remind, spoke } = reminder(output);
  for (;;) {
    const parts = await clusterParts(client, namespace);
    const ready = parts.filter(isReady);
    for (const { name } of ready.filter((part) => !said.has(part.name))) {
      said.add(name);
      spoke();
      output.print(`  ready       ${`${ready.length}/${parts.length}`.padEnd(5)} ${name}\n`);
    }
    if (parts.length > 0 && ready.length === parts.length) {
      return;
    }
    if (client.left() <= 2 * interval) {
      throw new CommandError(
        `the control plane in namespace ${namespace} is installed, but not ready in time:\n${missing(parts)}\n"nginx-meshctl status" looks again, "nginx-meshctl supportpkg" gathers what is known`,
        { status: exitStatus.notWell },
      );
    }
    remind(`waiting for:\n${missing(parts)}\n`);
    await sleep(interval);
  }
}

/** A controller that runs may still have no connection to NATS; then sidecars would wait. */
async function untilPublished(client: KubeClient, namespace: string): Promise<void> {
  for (;;) {
    const why = await notPublished(client, namespace);
    if (why === undefined) {
      return;
    }
    if (client.left() <= 2 * interval) {
      throw new CommandError(
        `the control plane in namespace ${namespace} runs, but has not published its configuration in time: ${why}\nthe logs of ${controllerName} and nats-server may say why; "nginx-meshctl supportpkg" gathers them`,
        { status: exitStatus.notWell },
      );
    }
    await sleep(interval / 2);
  }
}

async function notPublished(client: KubeClient, namespace: string): Promise<string | undefined> {
  try {
    const pod = await controllerPod(client, namespace);
    const ask = askPod(client, pod, `the controller (pod ${pod.metadata.name})`, client.left());
    const { nats } = (await ask("/status")) as ControllerStatus;
    if (!nats.connected) {
      return "it is not connected to NATS";
    }
    return nats.error === "" ? undefined : nats.error;
  } catch (error) {
    // pods change while a deployment goes on
    if (error instanceof CommandError) {
      return error.message;
    }
    throw error;
  }
}
