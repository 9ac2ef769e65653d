/** One object of the cluster as it is kept: what of it is in force, and what is wrong with it. */
import { isDeepStrictEqual } from "node:util";
import type * as z from "zod";
import type { Problem } from "../../api/problem.ts";

export interface Entry<T> {
  /** Undefined: it never could be read. */
  readonly value: T | undefined;
  readonly problems: readonly Problem[];
  readonly reference: ObjectReference;
}

/** What events and status writes name an object by. */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Counts the changes of its spec; 0: the kind has none. */
  readonly generation: number;
}

/** As problems name the object. */
export function titleOf({ kind, namespace, name }: ObjectReference): string {
  return namespace === "" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/**
 * The new entry; while the object cannot be read, its last good value stays. An object of another uid is another object,
 * whatever its name. The entry of before when nothing that is kept has changed.
 */
export function succeed<T>(before: Entry<T> | undefined, entry: Entry<T>): Entry<T> {
  if (before === undefined || before.reference.uid !== entry.reference.uid) {
    return entry;
  }
  const next = entry.value === undefined ? { ...entry, value: before.value } : entry;
  return isDeepStrictEqual(next, before) ? before : next;
}

/** An object that the API server gives in a form that is not that of its kind; `effect` says what follows. */
export function unreadable<T>(reference: ObjectReference, error: z.ZodError, effect: string): Entry<T> {
  const [issue] = error.issues;
  const problem: Problem = {
    object: titleOf(reference),
    field: issue?.path.join(".") ?? "",
    reason: "InvalidObject",
    message: `${issue?.message ?? "wrong form"}; ${effect}`,
    severity: "error",
  };
  return { value: undefined, problems: [problem], reference };
}
