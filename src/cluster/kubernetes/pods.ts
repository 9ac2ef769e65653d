/** Pods of the API server as pods that run. */
import * as z from "zod";
import { type Owner, ownerOf } from "../../api/owner.ts";
import { environment } from "../../wire/sidecar.ts";
import type { RunningPod } from "../snapshot.ts";
import { type Entry, unreadable } from "./entry.ts";
import { keep } from "./fields.ts";
import { annotationFields, referenceOf } from "./objects.ts";
import { pods as resource } from "./resources.ts";

const sidecarName = "nginx-mesh-sidecar";

const address = z.union([z.ipv4(), z.ipv6()]);
const container = z.object({
  name: z.string(),
  restartPolicy: z.string().nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string().nullish() })).nullish(),
  ports: z
    .array(
      z.object({
        name: z.string().optional(),
        containerPort: z.int(),
        protocol: z.enum(["TCP", "UDP", "SCTP"]).default("TCP"),
      }),
    )
    .nullish(),
});
type Container = z.infer<typeof container>;

const pod = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    labels: z.record(z.string(), z.string()).nullish(),
    annotations: z.record(z.string(), z.string()).nullish(),
    deletionTimestamp: z.string().nullish(),
    ownerReferences: z
      .array(z.object({ kind: z.string(), name: z.string(), controller: z.boolean().nullish() }))
      .nullish(),
  }),
  spec: z.object({
    serviceAccountName: z.string().nullish(),
    hostNetwork: z.boolean().nullish(),
    containers: z.array(container),
    initContainers: z.array(container).nullish(),
  }),
  status: z
    .object({
      phase: z.string().nullish(),
      podIP: address.nullish(),
      podIPs: z.array(z.object({ ip: address })).nullish(),
      conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish(),
    })
    .optional(),
});
type Pod = z.infer<typeof pod>;

function sidecarOf(from: Pod): Container | undefined {
  return [...from.spec.containers, ...(from.spec.initContainers ?? [])].find(
    (candidate) => candidate.name === sidecarName,
  );
}

/** As the sidecar itself knows it, whose settings have this name; else as the pod's owner tells. */
function workloadOf(from: Pod, sidecar: Container | undefined): Owner {
  const written = sidecar?.env?.find((variable) => variable.name === environment.workload)?.value ?? "";
  const [, kind, name] = /^([a-z]+)\/([a-z0-9.-]+)$/.exec(written) ?? [];
  return kind === undefined || name === undefined
    ? (ownerOf(from.metadata) ?? { kind: "pod", name: from.metadata.name })
    : { kind, name };
}

/** Those of the application: its containers, and init containers that go on (KEP-753). */
function portsOf(from: Pod): RunningPod["ports"] {
  const going = (from.spec.initContainers ?? []).filter((each) => each.restartPolicy === "Always");
  return [...from.spec.containers, ...going]
    .filter((each) => each.name !== sidecarName)
    .flatMap((each) => each.ports ?? []);
}

/** A pod that has ended has no address any more, though its status may still name one. */
function isOver(from: Pod): boolean {
  return from.status?.phase === "Succeeded" || from.status?.phase === "Failed";
}

function runningPod(from: Pod): RunningPod {
  const { metadata, spec, status } = from;
  const sidecar = sidecarOf(from);
  const addresses = [status?.podIP ?? "", ...(status?.podIPs ?? []).map(({ ip }) => ip)];
  const [first = "", ...others] = new Set(addresses.filter((each) => each !== ""));
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    labels: metadata.labels ?? {},
    annotations: keep(annotationFields, metadata.annotations ?? {}) as Record<string, string>,
    owner: workloadOf(from, sidecar),
    serviceAccount: spec.serviceAccountName ?? "default",
    address: first,
    ready: (status?.conditions ?? []).some(
      (condition) => condition.type === "Ready" && condition.status === "True",
    ),
    terminating: typeof metadata.deletionTimestamp === "string",
    meshed: sidecar !== undefined,
    ports: portsOf(from),
    ...(others.length === 0 ? {} : { otherAddresses: others }),
    ...(spec.hostNetwork === true ? { hostNetwork: true } : {}),
  };
}

/** Undefined: the pod is over. */
export function readPod(raw: unknown): Entry<RunningPod> | undefined {
  const reference = { ...referenceOf(resource, raw), generation: 0 };
  const result = pod.safeParse(raw);
  if (!result.success) {
    return unreadable(reference, result.error, "the pod is not in the mesh's configuration");
  }
  return isOver(result.data) ? undefined : { value: runningPod(result.data), problems: [], reference };
}
