/** What must be written so that a bucket with these keys has those. */

export interface Difference {
  readonly put: readonly (readonly [key: string, value: string])[];
  readonly remove: readonly string[];
}

export function difference(
  present: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): Difference {
  return {
    put: [...wanted].filter(([key, value]) => present.get(key) !== value),
    remove: [...present.keys()].filter((key) => !wanted.has(key)).sort(),
  };
}
