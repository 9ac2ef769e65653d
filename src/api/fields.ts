/** Building blocks of the schemas. */
import * as z from "zod";

/** Fields that exist in Kubernetes and mean nothing here: accepted, not looked at. */
export function unused<const N extends string>(
  ...names: readonly N[]
): Record<N, z.ZodOptional<z.ZodUnknown>> {
  const shape = {} as Record<N, z.ZodOptional<z.ZodUnknown>>;
  for (const name of names) {
    shape[name] = z.unknown().optional();
  }
  return shape;
}

/** DNS-1123 subdomain (RFC 1123), the form of most names in Kubernetes. */
export const objectName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/, "must be a DNS-1123 subdomain");
/** As `objectName`; empty: the default one. */
export const optionalName = z.union([z.literal(""), objectName]);
/** DNS-1123 label. */
export const labelName = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be a DNS-1123 label");

const stringMap = z.record(z.string(), z.string());

export const metadata = z.strictObject({
  name: objectName,
  namespace: labelName.optional(),
  labels: stringMap.optional(),
  annotations: stringMap.optional(),
  uid: z.string().optional(),
  ...unused(
    "generateName",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "managedFields",
    "ownerReferences",
    "selfLink",
  ),
});

/** Metadata of a pod template: nothing is required. */
export const templateMetadata = metadata.partial();

export const port = z.int().min(1).max(65535);
export const portName = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be a port name");
/** A number in quotes is no name (Kubernetes, validation of port names): one letter at least. */
export const portOrName = z.union([
  port,
  portName.regex(/[a-z]/, "must be a number without quotes, or a name with a letter in it"),
]);

export const labelSelector = z.strictObject({
  matchLabels: stringMap.optional(),
  matchExpressions: z
    .array(
      z.strictObject({
        key: z.string(),
        operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]),
        values: z.array(z.string()).optional(),
      }),
    )
    .optional(),
});
export type LabelSelector = z.infer<typeof labelSelector>;

/** Whether labels satisfy a selector (Kubernetes documentation, "Labels and Selectors"); an empty one matches all. */
export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels[key] !== value) {
      return false;
    }
  }
  return (selector.matchExpressions ?? []).every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case "In":
        return value !== undefined && (values ?? []).includes(value);
      case "NotIn":
        return value === undefined || !(values ?? []).includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
    }
  });
}
