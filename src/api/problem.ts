/** What is wrong with an object, as a value: a problem never stops the rest of the mesh. */

export type ProblemReason =
  | "UnreadableFile"
  | "InvalidYaml"
  | "InvalidObject"
  | "UnknownField"
  | "WrongType"
  | "InvalidValue"
  | "UnknownKind"
  | "DuplicateObject"
  | "NotFound"
  | "Conflict"
  | "AllWeightsZero"
  | "Cycle"
  | "NoEndpoints"
  | "NoSidecar"
  | "Unsupported";

export interface Problem {
  /** `Kind namespace/name`, or the file when no object can be made out. */
  readonly object: string;
  /** Path within the object, as `spec.backends[0].weight`; empty: the object as a whole. */
  readonly field: string;
  readonly reason: ProblemReason;
  /** A sentence for people: what is wrong and what to do. */
  readonly message: string;
  /** A warning leaves the object in force. */
  readonly severity: "error" | "warning";
}

/** One line, as the tools print it. */
export function formatProblem(problem: Problem): string {
  const field = problem.field === "" ? "" : ` ${problem.field}:`;
  return `${problem.object}:${field} ${problem.message}`;
}
