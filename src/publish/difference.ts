/** What must be written so that a bucket with these keys has those. */

export interface Difference {
  /** In the order in which they are to be written. */
  readonly put: readonly (readonly [key: string, value: string])[];
  readonly remove: readonly string[];
}

/** New keys come first: a changed one may refer to them, as a route does to the Service of a backend. */
export function difference(
  present: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): Difference {
  const put = [...wanted].filter(([key, value]) => present.get(key) !== value);
  return {
    put: [...put.filter(([key]) => !present.has(key)), ...put.filter(([key]) => present.has(key))],
    remove: [...present.keys()].filter((key) => !wanted.has(key)).sort(),
  };
}
