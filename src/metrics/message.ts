/** Statistics messages as they come from NATS: strictly read, and only what the sender may say. */
import * as z from "zod";

import { statisticsSubject } from "../wire/keys.ts";
import { latencyBuckets, statisticsLimits, wireVersion, type StatisticsMessage } from "../wire/messages.ts";

/** Kubernetes names; longer ones do not exist (RFC 1123 subdomain: 253 characters). */
const name = z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/);
/** Any may own pods, as those of other projects' controllers do. */
const kind = z.string().regex(/^[a-z][a-z0-9]{0,62}$/);
const count = z.int().nonnegative();
/** Checked here: the library's check of a list of numbers took more than half of the time of a whole message. */
const histogram = z.custom<readonly number[]>(isHistogram, "not a histogram");
const workload = z.object({ namespace: name, kind, name });

const edge = z.object({
  direction: z.enum(["to", "from"]),
  protocol: z.enum(["http", "grpc", "tcp", "udp"]),
  workload: workload.optional(),
  service: z.string().max(512).optional(),
  pod: z.string().max(253).optional(),
  /** A SPIFFE ID has at most 2048 bytes (SPIFFE-ID, section 2.3). */
  identity: z.string().max(2048).optional(),
  mtls: z.boolean(),
  total: count,
  failures: count,
  latency: histogram,
});

/** An encoder of Lua writes an empty list as an empty object. */
const edges = z.preprocess(
  (value) => (isEmptyObject(value) ? [] : value),
  z.array(edge).max(statisticsLimits.edges),
);

const message = z.object({
  version: z.literal(wireVersion),
  namespace: name,
  pod: name,
  workload,
  worker: z.int().nonnegative().max(1024),
  startedAt: z.number().positive(),
  edges,
});

function isHistogram(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length === latencyBuckets.length + 1 &&
    value.every((entry) => Number.isSafeInteger(entry) && entry >= 0)
  );
}

function isEmptyObject(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

/** A message that may be counted, or why it may not. */
export type Parsed =
  { readonly message: StatisticsMessage; readonly serviceAccount: string } | { readonly refused: string };

/**
 * Reads a message and compares it with the subject, which NATS lets only the sender's own service account use: a
 * pod speaks for itself, with the name and the namespace that the subject has.
 */
export function parseStatistics(subject: string, bytes: Uint8Array): Parsed {
  if (bytes.length > statisticsLimits.bytes) {
    return { refused: `${bytes.length} bytes, more than ${statisticsLimits.bytes}` };
  }
  const json = parseJson(bytes);
  if ("refused" in json) {
    return json;
  }
  const result = message.safeParse(json.value);
  if (!result.success) {
    const issue = result.error.issues[0];
    return { refused: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not a statistics message"}` };
  }
  const parsed = result.data as StatisticsMessage;
  const serviceAccount = subject.split(".")[2] ?? "";
  if (subject !== statisticsSubject(parsed.namespace, serviceAccount, parsed.pod)) {
    return { refused: `it speaks for pod ${parsed.namespace}/${parsed.pod}` };
  }
  if (parsed.workload.namespace !== parsed.namespace) {
    return { refused: `it speaks for a workload of namespace ${parsed.workload.namespace}` };
  }
  return { message: parsed, serviceAccount };
}

function parseJson(bytes: Uint8Array): { readonly value: unknown } | { readonly refused: string } {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { refused: `not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
}
