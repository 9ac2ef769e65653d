/** All kinds that are understood, and the reading of one object of any kind. */
import * as z from "zod";
import { configMap, namespace, service, serviceAccount } from "./core.ts";
import {
  cronJob,
  daemonSet,
  deployment,
  job,
  pod,
  replicaSet,
  replicationController,
  statefulSet,
} from "./pod.ts";
import {
  circuitBreaker,
  httpRouteGroup,
  meshConfig,
  meshConfigClass,
  rateLimit,
  rateLimitV1alpha1,
  tcpRoute,
  trafficSplit,
  trafficTarget,
} from "./policies.ts";
import { withoutNulls } from "./nulls.ts";
import type { Problem, ProblemReason } from "./problem.ts";

const schemas = {
  "v1 Namespace": namespace,
  "v1 ServiceAccount": serviceAccount,
  "v1 ConfigMap": configMap,
  "v1 Service": service,
  "v1 Pod": pod,
  "v1 ReplicationController": replicationController,
  "apps/v1 Deployment": deployment,
  "apps/v1 StatefulSet": statefulSet,
  "apps/v1 DaemonSet": daemonSet,
  "apps/v1 ReplicaSet": replicaSet,
  "batch/v1 Job": job,
  "batch/v1 CronJob": cronJob,
  "split.smi-spec.io/v1alpha3 TrafficSplit": trafficSplit,
  "specs.smi-spec.io/v1alpha3 HTTPRouteGroup": httpRouteGroup,
  "specs.smi-spec.io/v1alpha3 TCPRoute": tcpRoute,
  "access.smi-spec.io/v1alpha2 TrafficTarget": trafficTarget,
  "specs.smi.nginx.com/v1alpha1 RateLimit": rateLimitV1alpha1,
  "specs.smi.nginx.com/v1alpha2 RateLimit": rateLimit,
  "specs.smi.nginx.com/v1alpha1 CircuitBreaker": circuitBreaker,
  "nsm.nginx.com/v1alpha2 MeshConfig": meshConfig,
  "nsm.nginx.com/v1alpha2 MeshConfigClass": meshConfigClass,
} as const;

export type MeshObject = { [K in keyof typeof schemas]: z.infer<(typeof schemas)[K]> }[keyof typeof schemas];
export type Kind = MeshObject["kind"];
export type ObjectOf<K extends Kind> = Extract<MeshObject, { kind: K }>;

/** Kinds that have no namespace. */
const clusterKinds: ReadonlySet<string> = new Set(["Namespace", "MeshConfigClass"]);
/** Kinds of the mesh itself: of these an unknown version is an error; other unknown kinds are not ours to judge. */
export const ownGroups = [
  "split.smi-spec.io",
  "specs.smi-spec.io",
  "access.smi-spec.io",
  "specs.smi.nginx.com",
  "nsm.nginx.com",
];

export function namespaceOf(object: MeshObject): string {
  return clusterKinds.has(object.kind)
    ? ""
    : ((object.metadata as { namespace?: string }).namespace ?? "default");
}

function title(kind: string, namespace: string | undefined, name: string): string {
  return clusterKinds.has(kind) ? `${kind} ${name}` : `${kind} ${namespace ?? "default"}/${name}`;
}

/** `Kind namespace/name`; unique among the objects of a mesh. */
export function identify(object: MeshObject): string {
  const { namespace, name } = object.metadata as { namespace?: string; name: string };
  return title(object.kind, namespace, name);
}

const head = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string().optional(), namespace: z.string().optional() }).optional(),
});

/** A path as people write it: `spec.backends[0].weight`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`,
    )
    .join("");
}

type Issue = z.core.$ZodIssue;

function describe(object: string, issue: Issue): readonly Problem[] {
  const at = fieldPath(issue.path);
  const problem = (field: string, reason: ProblemReason, message: string): Problem => ({
    object,
    field,
    reason,
    message,
    severity: "error",
  });
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) =>
        problem(
          at === "" ? key : `${at}.${key}`,
          "UnknownField",
          "unknown field: check its spelling and indentation",
        ),
      );
    case "invalid_type":
      return [problem(at, "WrongType", issue.message.replace(/^Invalid input: /, ""))];
    default:
      return [problem(at, "InvalidValue", issue.message.replace(/^Invalid (input|option): /, ""))];
  }
}

/** The value, frozen with everything in it. */
function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}

export type Parsed =
  | { readonly object: MeshObject; readonly problems: readonly [] }
  | { readonly object: undefined; readonly problems: readonly Problem[] };

/** Reads one object; `where` stands for it in problems until its kind and name are known. */
export function parseObject(raw: unknown, where: string): Parsed {
  const failed = (problems: readonly Problem[]): Parsed => ({ object: undefined, problems });
  const shape = head.safeParse(withoutNulls(head, raw));
  if (!shape.success) {
    return failed(shape.error.issues.flatMap((issue) => describe(where, issue)));
  }
  const { apiVersion, kind, metadata } = shape.data;
  const object = title(kind, metadata?.namespace, metadata?.name ?? "(no name)");
  const schema = (schemas as Record<string, z.ZodType | undefined>)[`${apiVersion} ${kind}`];
  if (schema === undefined) {
    const own = ownGroups.some((group) => apiVersion.startsWith(`${group}/`));
    const message = own
      ? `apiVersion "${apiVersion}" of ${kind} is not supported`
      : `kind ${kind} (${apiVersion}) is not used by the mesh and is ignored`;
    return failed([
      {
        object,
        field: "apiVersion",
        reason: "UnknownKind",
        message,
        severity: own ? "error" : "warning",
      },
    ]);
  }
  const result = schema.safeParse(withoutNulls(schema, raw));
  if (!result.success) {
    return failed(result.error.issues.flatMap((issue) => describe(object, issue)));
  }
  return { object: frozen(result.data) as MeshObject, problems: [] };
}
