/** What local mode knows beside the manifests: addresses and states. Written by its engine, read by the controller. */
import { readFile } from "node:fs/promises";
import { z } from "zod";

const pod = z.strictObject({
  namespace: z.string(),
  name: z.string(),
  uid: z.string(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
  owner: z.strictObject({ kind: z.string(), name: z.string() }),
  serviceAccount: z.string(),
  address: z.string(),
  ready: z.boolean(),
  terminating: z.boolean(),
  meshed: z.boolean(),
  ports: z.array(
    z.strictObject({
      name: z.string().optional(),
      containerPort: z.int(),
      protocol: z.enum(["TCP", "UDP", "SCTP"]),
    }),
  ),
});

const localStatus = z.strictObject({
  version: z.literal(1),
  serviceRanges: z.array(z.string()),
  services: z.array(
    z.strictObject({ namespace: z.string(), name: z.string(), addresses: z.array(z.string()) }),
  ),
  pods: z.array(pod),
});

export type LocalStatus = z.infer<typeof localStatus>;
export type LocalPod = z.infer<typeof pod>;

export const emptyStatus: LocalStatus = { version: 1, serviceRanges: [], services: [], pods: [] };

/** Throws when the file is there and cannot be read; a missing file is an empty status. */
export async function readLocalStatus(file: string): Promise<LocalStatus> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return emptyStatus;
    }
    throw error;
  }
  return localStatus.parse(JSON.parse(text));
}
