/** AdmissionReview, version v1 (Kubernetes documentation, "Dynamic Admission Control"). */
import * as z from "zod";
import type { JsonPatchOperation } from "../inject/patch.ts";

const review = z.looseObject({
  apiVersion: z.literal("admission.k8s.io/v1"),
  kind: z.literal("AdmissionReview"),
  request: z.looseObject({
    uid: z.string().min(1),
    kind: z.looseObject({ group: z.string(), version: z.string(), kind: z.string() }),
    namespace: z.string().optional(),
    name: z.string().optional(),
    operation: z.enum(["CREATE", "UPDATE", "DELETE", "CONNECT"]),
    object: z.unknown(),
    oldObject: z.unknown(),
  }),
});
export type AdmissionRequest = z.infer<typeof review>["request"];

/** What a webhook decides. */
export interface Decision {
  readonly allowed: boolean;
  /** Why it is not allowed; for people. */
  readonly message?: string;
  readonly patch?: readonly JsonPatchOperation[];
  readonly warnings?: readonly string[];
}

/** Longer warnings are cut, and more are dropped, by the API server (KEP-1693). */
const longestWarning = 256;
const mostWarnings = 16;
/** HTTP status that clients see of a refusal: the object was understood, and is not acceptable. */
const unprocessable = 422;

/** The request, or why the text is none. */
export function readReview(
  text: string,
): { readonly request: AdmissionRequest } | { readonly error: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { error: `no JSON: ${(error as Error).message}` };
  }
  const parsed = review.safeParse(json);
  return parsed.success
    ? { request: parsed.data.request }
    : {
        error: `no AdmissionReview of admission.k8s.io/v1: ${z.prettifyError(parsed.error).split("\n").join(" ")}`,
      };
}

function cut(warning: string): string {
  return warning.length <= longestWarning ? warning : `${warning.slice(0, longestWarning - 1)}…`;
}

export function reviewResponse(uid: string, decision: Decision): object {
  const { allowed, message, patch = [], warnings = [] } = decision;
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: {
      uid,
      allowed,
      ...(message === undefined ? {} : { status: { code: unprocessable, reason: "Invalid", message } }),
      ...(patch.length === 0
        ? {}
        : { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") }),
      ...(warnings.length === 0 ? {} : { warnings: warnings.slice(0, mostWarnings).map(cut) }),
    },
  };
}
