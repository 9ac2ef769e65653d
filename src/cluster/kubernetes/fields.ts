/** Which fields of an object are kept: what nothing reads takes no memory, and its changes are no changes. */

/** `true`: the value as it is; a tree: of an object, or of each element of an array, these fields. */
export type Fields = true | { readonly [name: string]: Fields };

/** A copy with the fields that are both named and there. `null` counts as not there, as in Go's JSON. */
export function keep(fields: Fields, value: unknown): unknown {
  if (fields === true || typeof value !== "object" || value === null) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map((element) => keep(fields, element));
  }
  const result: Record<string, unknown> = {};
  for (const [name, below] of Object.entries(fields)) {
    const found = (value as Record<string, unknown>)[name];
    if (found !== undefined && found !== null) {
      result[name] = keep(below, found);
    }
  }
  return result;
}
