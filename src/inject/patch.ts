/** Changes of an object as values: JSON Patch (RFC 6902), and the same for the tree of a YAML document. */

export type Path = readonly (string | number)[];

/** `add` at an index inserts there; an index one past the end appends. */
export type Operation =
  | { readonly op: "add" | "replace"; readonly path: Path; readonly value: unknown }
  | { readonly op: "remove"; readonly path: Path };

/** Operations as they go to the API server. */
export interface JsonPatchOperation {
  readonly op: Operation["op"];
  readonly path: string;
  readonly value?: unknown;
}

/** The operations below `prefix`. */
export function below(prefix: Path, operations: readonly Operation[]): readonly Operation[] {
  return operations.map((operation) => ({ ...operation, path: [...prefix, ...operation.path] }));
}

/** JSON Pointer (RFC 6901). */
function pointer(path: Path): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

export function jsonPatch(operations: readonly Operation[]): readonly JsonPatchOperation[] {
  return operations.map((operation) => ({ ...operation, path: pointer(operation.path) }));
}

function change(value: unknown, operation: Operation, depth: number): unknown {
  const [key, last] = [operation.path[depth]!, depth === operation.path.length - 1];
  if (Array.isArray(value)) {
    const index = Number(key);
    if (!last) {
      return value.with(index, change(value[index], operation, depth + 1));
    }
    switch (operation.op) {
      case "add":
        return value.toSpliced(index, 0, operation.value);
      case "replace":
        return value.with(index, operation.value);
      case "remove":
        return value.toSpliced(index, 1);
    }
  }
  const { [key]: old, ...others } = value as Record<string, unknown>;
  if (last && operation.op === "remove") {
    return others;
  }
  const fresh = last
    ? (operation as Extract<Operation, { value: unknown }>).value
    : change(old, operation, depth + 1);
  return { ...(value as object), [key]: fresh };
}

/** The object with all operations applied, one after the other; the given one stays as it is. */
export function applyPatch(value: unknown, operations: readonly Operation[]): unknown {
  return operations.reduce((current, operation) => change(current, operation, 0), value);
}
