/** The webhook `/validate`: whether an object of the mesh is acceptable. */
import { isDeepStrictEqual } from "node:util";
import type { MeshObject } from "../api/objects.ts";
import { formatProblem } from "../api/problem.ts";
import type { AdmissionRequest, Decision } from "./review.ts";
import { objectProblems } from "./validation.ts";

interface Raw {
  readonly metadata?: Readonly<Record<string, unknown>> | null;
  readonly spec?: unknown;
}

/** Metadata that the schemas read; the API server adds more with each version. */
const metadataFields = ["name", "namespace", "labels", "annotations"];

/** What a user wrote: without what the API server keeps in metadata. A name that it will choose itself is not there yet. */
function asWritten(raw: Raw, namespace: string | undefined): unknown {
  const { generateName, ...metadata } = raw.metadata ?? {};
  return {
    ...raw,
    metadata: {
      ...Object.fromEntries(Object.entries(metadata).filter(([key]) => metadataFields.includes(key))),
      ...(metadata["name"] === undefined && typeof generateName === "string"
        ? { name: `${generateName}00000` }
        : {}),
      ...(namespace === undefined || namespace === "" ? {} : { namespace }),
    },
  };
}

/** Removing a finalizer, or changing a label, must be possible for an object that is wrong already. */
function isUntouched(request: AdmissionRequest): boolean {
  const [fresh, old] = [request.object as Raw | null, request.oldObject as Raw | null];
  return (
    request.operation === "UPDATE" &&
    (fresh?.metadata?.["deletionTimestamp"] !== undefined || isDeepStrictEqual(fresh?.spec, old?.spec))
  );
}

/** `objects`: those that are known; a rule that compares sees them. Never throws. */
export function decideValidation(request: AdmissionRequest, objects: readonly MeshObject[]): Decision {
  if (request.operation === "DELETE" || request.operation === "CONNECT" || isUntouched(request)) {
    return { allowed: true };
  }
  const problems = objectProblems(asWritten((request.object ?? {}) as Raw, request.namespace), objects);
  const errors = problems.filter((problem) => problem.severity === "error");
  const warnings = problems
    .filter((problem) => problem.severity === "warning")
    .map((problem) => `nginx-mesh: ${formatProblem(problem)}`);
  return errors.length === 0
    ? { allowed: true, warnings }
    : { allowed: false, warnings, message: errors.map(formatProblem).join("; ") };
}
