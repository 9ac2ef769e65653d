/** Fields that are written and empty: `env:` with nothing behind it, as templates leave it. */
import * as z from "zod";

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The value without those of its optional fields that are null: to Kubernetes they are not there. A null in a map of free
 * names, in a list, or in a field that nobody knows is left for the schema to judge.
 */
export function withoutNulls(schema: z.core.$ZodType, value: unknown): unknown {
  if (schema instanceof z.ZodOptional) {
    return withoutNulls(schema.unwrap(), value);
  }
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((item) => withoutNulls(schema.element, item));
  }
  if (!(schema instanceof z.ZodObject) || !isFields(value)) {
    return value;
  }
  const shape = schema.shape as Readonly<Record<string, z.core.$ZodType>>;
  const fieldOf = (name: string): z.core.$ZodType | undefined =>
    Object.hasOwn(shape, name) ? shape[name] : undefined;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, part]) => part !== null || !(fieldOf(name) instanceof z.ZodOptional))
      .map(([name, part]) => {
        const field = fieldOf(name);
        return [name, field === undefined ? part : withoutNulls(field, part)];
      }),
  );
}
