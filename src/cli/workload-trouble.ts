/** Why a workload of the control plane has fewer pods than it wants: quotas, Pod Security and webhooks refuse pods, not workloads. */
import * as z from "zod";

import { type KubeClient, KubeError } from "./kube-client.ts";
import { itemsOf, type Workload } from "./kube-objects.ts";

const time = z.string().nullish();
const eventSchema = z.object({
  metadata: z.object({ creationTimestamp: time }),
  message: z.string().default(""),
  lastTimestamp: time,
  eventTime: time,
  series: z.object({ lastObservedTime: time }).nullish(),
});

type Event = z.infer<typeof eventSchema>;

function timeOf({ metadata, series, lastTimestamp, eventTime }: Event): number {
  const last = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp;
  return Date.parse(last ?? "") || 0;
}

/** The message of the newest, or nothing when this user may not see events, which explain and are not needed. */
async function newestFailure(client: KubeClient, { metadata }: Workload): Promise<string | undefined> {
  const selector = encodeURIComponent(`involvedObject.uid=${metadata.uid},reason=FailedCreate`);
  const path = `/api/v1/namespaces/${metadata.namespace}/events?fieldSelector=${selector}`;
  try {
    const events = itemsOf(eventSchema, await client.json({ path }), "events");
    return events.toSorted((a, b) => timeOf(b) - timeOf(a))[0]?.message;
  } catch (error) {
    if (error instanceof KubeError) {
      return undefined;
    }
    throw error;
  }
}

/** A sentence; undefined when nobody says anything. Pods of a Deployment are made by another object, so its condition tells. */
export async function creationTrouble(client: KubeClient, workload: Workload): Promise<string | undefined> {
  const condition = workload.status.conditions.find(
    ({ type, status }) => type === "ReplicaFailure" && status === "True",
  );
  const message = condition?.message ?? (await newestFailure(client, workload));
  return message === undefined ? undefined : `its pods cannot be made: ${message}`;
}
