/**
 * zod → structural schemas of CustomResourceDefinitions (Kubernetes documentation, "Specifying a structural schema"): every
 * field has one type, there is no `additionalProperties: false` (the API server drops what is unknown), and a value that is a number or a
 * string is `x-kubernetes-int-or-string`.
 */
import * as z from "zod";

export type Structural = { readonly [key: string]: unknown };

/** What a definition does not take over from the schema. */
export interface Relaxation {
  readonly drop?: readonly ("minLength" | "maximum" | "enum")[];
  readonly optional?: boolean;
  /** Says the size of a number. */
  readonly format?: "int32" | "float";
}

type Json = Record<string, unknown>;

/** Rules that mean the same in both. */
const rules = ["minLength", "maxLength", "minimum", "maximum", "pattern", "enum"] as const;

/** zod says so of every integer. */
function isSafeBound(name: string, value: unknown): boolean {
  return (name === "minimum" || name === "maximum") && Math.abs(value as number) === Number.MAX_SAFE_INTEGER;
}

function scalar(from: Json, relaxation: Relaxation): Structural {
  const to: Json = { type: from["type"] };
  for (const name of rules) {
    const dropped = (relaxation.drop as readonly string[] | undefined)?.includes(name) === true;
    if (from[name] !== undefined && !dropped && !isSafeBound(name, from[name])) {
      to[name] = from[name];
    }
  }
  if (typeof to["pattern"] === "string") {
    // JavaScript writes / as \/ in the source of an expression; others need not
    to["pattern"] = to["pattern"].replaceAll("\\/", "/");
  }
  if (from["const"] !== undefined && relaxation.drop?.includes("enum") !== true) {
    to["enum"] = [from["const"]];
  }
  return relaxation.format === undefined ? to : { ...to, format: relaxation.format };
}

function isIntOrString(from: Json): boolean {
  const types = (from["anyOf"] as readonly Json[] | undefined)?.map((each) => each["type"]);
  return types !== undefined && types.toSorted().join() === "integer,string";
}

type Relaxed = Readonly<Record<string, Relaxation>>;

function objectOf(from: Json, path: string, relaxed: Relaxed): Structural {
  const properties = from["properties"] as Record<string, Json> | undefined;
  if (properties === undefined) {
    const values = from["additionalProperties"] as Json | undefined;
    return values?.["type"] === undefined
      ? { type: "object" }
      : { type: "object", additionalProperties: convert(values, `${path}{}`, relaxed) };
  }
  const at = (name: string): string => (path === "" ? name : `${path}.${name}`);
  const required = ((from["required"] as readonly string[] | undefined) ?? []).filter(
    (name) => relaxed[at(name)]?.optional !== true,
  );
  const fields = Object.entries(properties).map(([name, value]) => [name, convert(value, at(name), relaxed)]);
  // the API server drops an empty table, and server-side apply would find its own object changed
  return {
    type: "object",
    ...(required.length === 0 ? {} : { required }),
    ...(fields.length === 0 ? {} : { properties: Object.fromEntries(fields) as Json }),
  };
}

/** Throws on what has no structural form: a schema of the mesh must have one. */
function convert(from: Json, path: string, relaxed: Relaxed): Structural {
  if (isIntOrString(from)) {
    return { "x-kubernetes-int-or-string": true };
  }
  switch (from["type"]) {
    case "object":
      return objectOf(from, path, relaxed);
    case "array":
      return { type: "array", items: convert(from["items"] as Json, `${path}[]`, relaxed) };
    case "string":
    case "integer":
    case "number":
    case "boolean":
      return scalar(from, relaxed[path] ?? {});
    default:
      throw new Error(`the field ${path} has no structural form: ${JSON.stringify(from)}`);
  }
}

/** Of the schema of a whole object: the form of its `spec`, and whether it must be there. */
export function structural(
  schema: z.ZodType,
  relaxed: Relaxed,
): { readonly spec: Structural; readonly required: boolean } {
  const whole = z.toJSONSchema(schema, {
    target: "draft-2020-12",
    io: "input",
    unrepresentable: "any",
  }) as Json;
  const { spec } = whole["properties"] as { spec: Json };
  const required = (whole["required"] as readonly string[]).includes("spec");
  return {
    spec: convert(spec, "spec", relaxed),
    required: required && relaxed["spec"]?.optional !== true,
  };
}
