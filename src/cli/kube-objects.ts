/** What commands read of Kubernetes' objects; all else is left out. */
import * as z from "zod";

import { CommandError } from "./errors.ts";

const strings = z.record(z.string(), z.string()).default({});

const metadata = z.object({
  name: z.string(),
  namespace: z.string().default(""),
  labels: strings,
  annotations: strings,
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
});

const waiting = z.object({ reason: z.string().default(""), message: z.string().default("") });
const terminated = waiting.extend({ exitCode: z.number().default(0) });
const containerState = z.object({
  waiting: waiting.optional(),
  running: z.object({}).optional(),
  terminated: terminated.optional(),
});

const containerStatus = z.object({
  name: z.string(),
  ready: z.boolean().default(false),
  started: z.boolean().nullish(),
  restartCount: z.number().default(0),
  image: z.string().default(""),
  state: containerState.default({}),
  lastState: containerState.default({}),
});

const container = z.object({
  name: z.string(),
  image: z.string().default(""),
  restartPolicy: z.string().optional(),
});

const conditions = z
  .array(
    z.object({
      type: z.string(),
      status: z.string(),
      reason: z.string().default(""),
      message: z.string().default(""),
    }),
  )
  .default([]);

export const podSchema = z.object({
  metadata,
  spec: z.object({
    containers: z.array(container).default([]),
    initContainers: z.array(container).default([]),
    nodeName: z.string().default(""),
  }),
  status: z
    .object({
      phase: z.string().default(""),
      conditions,
      containerStatuses: z.array(containerStatus).default([]),
      initContainerStatuses: z.array(containerStatus).default([]),
    })
    .default({ phase: "", conditions: [], containerStatuses: [], initContainerStatuses: [] }),
});

export type Pod = z.infer<typeof podSchema>;

/** Deployment, StatefulSet or DaemonSet: how many pods it wants, and how many are as they should be. */
export const workloadSchema = z.object({
  kind: z.string().default(""),
  metadata: metadata.extend({ uid: z.string().default(""), generation: z.number().default(0) }),
  spec: z.object({
    replicas: z.number().optional(),
    selector: z.object({ matchLabels: strings }),
  }),
  status: z
    .object({
      observedGeneration: z.number().default(0),
      replicas: z.number().default(0),
      readyReplicas: z.number().default(0),
      updatedReplicas: z.number().default(0),
      desiredNumberScheduled: z.number().optional(),
      numberReady: z.number().default(0),
      updatedNumberScheduled: z.number().default(0),
      conditions,
    })
    .default({
      observedGeneration: 0,
      replicas: 0,
      readyReplicas: 0,
      updatedReplicas: 0,
      numberReady: 0,
      updatedNumberScheduled: 0,
      conditions: [],
    }),
});

export type Workload = z.infer<typeof workloadSchema>;

/** Any object, by its metadata. */
export const objectSchema = z.object({ metadata });

export type AnyObject = z.infer<typeof objectSchema>;

/** The items of a list, each as the schema says. Throws CommandError when the answer is no such list. */
export function itemsOf<T>(schema: z.ZodType<T>, answer: unknown, what: string): readonly T[] {
  return objectOf(z.object({ items: z.array(schema).nullish() }), answer, what).items ?? [];
}

/** Throws CommandError when the answer is not as the schema says. */
export function objectOf<T>(schema: z.ZodType<T>, answer: unknown, what: string): T {
  const result = schema.safeParse(answer);
  if (!result.success) {
    throw new CommandError(
      `the API server's answer about ${what} is not understood: ${z.prettifyError(result.error)}`,
      { cause: result.error },
    );
  }
  return result.data;
}
