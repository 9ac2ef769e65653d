/** What all rules have in common. A rule takes an object that fits its schema, and says what is wrong with it. */
import { identify, type MeshObject, namespaceOf, type ObjectOf, type Kind } from "../../api/objects.ts";
import type { Problem, ProblemReason } from "../../api/problem.ts";

/** `others`: all other objects that are known. */
export type Rule<K extends Kind> = (object: ObjectOf<K>, others: readonly MeshObject[]) => readonly Problem[];

/** Makes the problems of one object. */
export interface Complaints {
  readonly error: (field: string, reason: ProblemReason, message: string) => Problem;
  /** It may be meant so, or right itself: the object is accepted. */
  readonly warning: (field: string, reason: ProblemReason, message: string) => Problem;
}

export function complaints(object: MeshObject): Complaints {
  const make =
    (severity: Problem["severity"]) =>
    (field: string, reason: ProblemReason, message: string): Problem => ({
      object: identify(object),
      field,
      reason,
      message,
      severity,
    });
  return { error: make("error"), warning: make("warning") };
}

export function ofKind<K extends Kind>(objects: readonly MeshObject[], kind: K): readonly ObjectOf<K>[] {
  return objects.filter((object): object is ObjectOf<K> => object.kind === kind);
}

export function exists(objects: readonly MeshObject[], kind: Kind, namespace: string, name: string): boolean {
  return objects.some(
    (object) => object.kind === kind && namespaceOf(object) === namespace && object.metadata.name === name,
  );
}

/** Places of values that stand earlier in the list too. */
export function repeated(values: readonly string[]): readonly number[] {
  return values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));
}

/** A reference to an object that is not there: it may come later, so this is a warning. */
export function missing(
  { warning }: Complaints,
  field: string,
  kind: Kind,
  namespace: string,
  name: string,
): Problem {
  return warning(
    field,
    "NotFound",
    `there is no ${kind} ${namespace}/${name}: make one, or correct the name; until then this has no effect`,
  );
}
