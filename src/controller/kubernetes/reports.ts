/** What is wrong with objects, told where their owners look: as events on them, and as a condition in their status. */
import { createHash } from "node:crypto";
import * as z from "zod";
import { ownGroups } from "../../api/objects.ts";
import type { Problem } from "../../api/problem.ts";
import { type ApiServer, isStatus } from "../../cluster/kubernetes/api-server.ts";
import { type ObjectReference, titleOf } from "../../cluster/kubernetes/entry.ts";
import { createWriter, type Due } from "./writer.ts";

export interface ReportsOptions {
  readonly api: ApiServer;
  /** Identity of this process, as events name their source. */
  readonly instance: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Why reports cannot be written; empty: they can again. */
  onError(message: string): void;
}

export interface Reports {
  /** What is now; only what differs from the last time is written. */
  update(references: readonly ObjectReference[], problems: readonly Problem[]): void;
  /** Forgets what was written: another may have written meanwhile. */
  reset(): void;
  close(): Promise<void>;
}

/** What a CRD's status says of one object; `SetCondition` of Kubernetes' API conventions. */
export interface Verdict {
  readonly reference: ObjectReference;
  readonly accepted: boolean;
  readonly reason: string;
  readonly message: string;
}

const component = "nginx-mesh-controller";
const conditionType = "Accepted";
/** Kinds whose CRD has a status subresource with conditions. */
const statusKinds = new Map([
  ["TrafficSplit", "trafficsplits"],
  ["TrafficTarget", "traffictargets"],
  ["HTTPRouteGroup", "httproutegroups"],
  ["TCPRoute", "tcproutes"],
  ["MeshConfig", "meshconfigs"],
]);
/** Bytes of a message that an event may have (Kubernetes API, core/v1 Event). */
const longestMessage = 1024;

/** NSM's own name for a RateLimit that is not configured; otherwise that of the problem. */
export function eventReason(kind: string, problem: Problem): string {
  return kind === "RateLimit" ? "UpsertRateLimitFailed" : problem.reason;
}

function sentence(problem: Problem): string {
  const text = problem.field === "" ? problem.message : `${problem.field}: ${problem.message}`;
  return text.length <= longestMessage ? text : `${text.slice(0, longestMessage - 1)}…`;
}

/** Of each object with a status what it should say. */
export function verdicts(
  references: readonly ObjectReference[],
  problems: readonly Problem[],
): readonly Verdict[] {
  const byObject = Map.groupBy(problems, (problem) => problem.object);
  return references
    .filter((reference) => statusKinds.has(reference.kind))
    .map((reference) => {
      const own = byObject.get(titleOf(reference)) ?? [];
      const [worst] = own.toSorted((a, b) =>
        a.severity === b.severity ? 0 : a.severity === "error" ? -1 : 1,
      );
      const accepted = worst === undefined || worst.severity === "warning";
      return {
        reference,
        accepted,
        reason: worst === undefined ? "Accepted" : worst.reason,
        message: own.map(sentence).join("; ").slice(0, 32_768),
      };
    });
}

/** Name of the event of one problem: the same after a restart, so that it is counted and not told anew. */
export function eventName(reference: ObjectReference, problem: Problem): string {
  const text = `${reference.uid}\0${problem.reason}\0${problem.field}\0${problem.message}`;
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
  return `${reference.name.slice(0, 200)}.${hash}`;
}

const known = z.looseObject({ count: z.int().optional(), metadata: z.looseObject({}) });
const stored = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  status: z
    .looseObject({
      conditions: z
        .array(
          z.looseObject({ type: z.string(), status: z.string(), lastTransitionTime: z.string().optional() }),
        )
        .optional(),
    })
    .optional(),
});

async function writeEvent(
  { api, instance, now }: ReportsOptions,
  reference: ObjectReference,
  problem: Problem,
): Promise<void> {
  const { apiVersion, kind, namespace, name, uid } = reference;
  const folder = `/api/v1/namespaces/${namespace}/events`;
  const time = new Date(now()).toISOString().replace(/\.\d+Z/, "Z");
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: eventName(reference, problem), namespace },
    involvedObject: { apiVersion, kind, namespace, name, uid },
    type: problem.severity === "error" ? "Warning" : "Normal",
    reason: eventReason(kind, problem),
    message: sentence(problem),
    source: { component },
    reportingComponent: component,
    reportingInstance: instance,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
  try {
    await api.send({ method: "POST", path: folder, body: event });
  } catch (error) {
    if (!isStatus(error, 409)) {
      throw error;
    }
    const path = `${folder}/${event.metadata.name}`;
    const present = known.parse(await api.send({ method: "GET", path }));
    const body = { count: (present.count ?? 1) + 1, lastTimestamp: time };
    await api.send({ method: "PATCH", path, body, contentType: "application/merge-patch+json" });
  }
}

async function writeVerdict({ api, now }: ReportsOptions, verdict: Verdict): Promise<void> {
  const { apiVersion, kind, namespace, name, generation } = verdict.reference;
  const path = `/apis/${apiVersion}/namespaces/${namespace}/${statusKinds.get(kind)}/${name}`;
  const present = stored.parse(await api.send({ method: "GET", path }));
  const conditions = present.status?.conditions ?? [];
  const before = conditions.find((condition) => condition.type === conditionType);
  const status = verdict.accepted ? "True" : "False";
  const condition = {
    type: conditionType,
    status,
    reason: verdict.reason,
    message: verdict.message,
    observedGeneration: generation,
    lastTransitionTime:
      before?.status === status && before.lastTransitionTime !== undefined
        ? before.lastTransitionTime
        : new Date(now()).toISOString().replace(/\.\d+Z/, "Z"),
  };
  if (before !== undefined && JSON.stringify({ ...before, ...condition }) === JSON.stringify(before)) {
    return;
  }
  await api.send({
    method: "PATCH",
    path: `${path}/status`,
    contentType: "application/merge-patch+json",
    body: {
      metadata: { resourceVersion: present.metadata.resourceVersion },
      status: {
        // the MeshConfig's CRD asks for it
        ...(kind === "MeshConfig" ? { transparent: present.status?.["transparent"] === true } : {}),
        conditions: [...conditions.filter((each) => each.type !== conditionType), condition],
      },
    },
  });
}

/** Not everybody's Service has its warnings told; an object of the mesh's own kinds is there to have an effect. */
function isTold(reference: ObjectReference, problem: Problem): boolean {
  return (
    problem.severity === "error" || ownGroups.some((group) => reference.apiVersion.startsWith(`${group}/`))
  );
}

function dueOf(
  options: ReportsOptions,
  references: readonly ObjectReference[],
  problems: readonly Problem[],
): readonly Due[] {
  const byTitle = new Map(references.map((reference) => [titleOf(reference), reference]));
  const events = problems.flatMap((problem): Due[] => {
    const reference = byTitle.get(problem.object);
    return reference === undefined || !isTold(reference, problem)
      ? []
      : [
          {
            key: `event ${titleOf(reference)} ${eventName(reference, problem)}`,
            content: reference.uid,
            needs: '"create", "get" and "patch" the resource "events"',
            write: () => writeEvent(options, reference, problem),
          },
        ];
  });
  const conditions = verdicts(references, problems).map((verdict): Due => {
    const resource = statusKinds.get(verdict.reference.kind)!;
    const group = verdict.reference.apiVersion.split("/")[0]!;
    return {
      key: `status ${titleOf(verdict.reference)} ${verdict.reference.uid}`,
      content: JSON.stringify([
        verdict.accepted,
        verdict.reason,
        verdict.message,
        verdict.reference.generation,
      ]),
      needs: `"get" the resource "${resource}" and "patch" "${resource}/status" of the API group "${group}"`,
      write: () => writeVerdict(options, verdict),
    };
  });
  return [...events, ...conditions];
}

export function createReports(options: ReportsOptions): Reports {
  const writer = createWriter({ what: "tell problems on their objects", onError: options.onError });
  return {
    update: (references, problems) => writer.update(dueOf(options, references, problems)),
    reset: () => writer.reset(),
    close: () => writer.close(),
  };
}
