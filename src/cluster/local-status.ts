/** What local mode knows beside the manifests: addresses and states. Written by its engine, read by the controller. */
import { readFile } from "node:fs/promises";
import * as z from "zod";

const address = z.union([z.ipv4(), z.ipv6()]);

/** Fields that this version does not know are left out. */
const pod = z.object({
  namespace: z.string(),
  name: z.string(),
  uid: z.string(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
  owner: z.object({ kind: z.string(), name: z.string() }),
  serviceAccount: z.string(),
  /** Empty: none yet. */
  address: z.union([z.literal(""), address]),
  ready: z.boolean(),
  terminating: z.boolean(),
  meshed: z.boolean(),
  ports: z.array(
    z.object({
      name: z.string().optional(),
      containerPort: z.int(),
      protocol: z.enum(["TCP", "UDP", "SCTP"]),
    }),
  ),
});

const localStatus = z.object({
  version: z.literal(1),
  serviceRanges: z.array(z.union([z.cidrv4(), z.cidrv6()])),
  services: z.array(z.object({ namespace: z.string(), name: z.string(), addresses: z.array(address) })),
  pods: z.array(pod),
});

export type LocalStatus = z.infer<typeof localStatus>;
export type LocalPod = z.infer<typeof pod>;

/** The status is not there, or is none. */
export class LocalStatusError extends Error {
  override readonly name = "LocalStatusError";
}

/** Throws LocalStatusError. A missing file is one too: taken for an empty mesh, it would empty the real one. */
export async function readLocalStatus(file: string): Promise<LocalStatus> {
  const what = `cannot read the state of local mode "${file}"`;
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new LocalStatusError(`${what}: ${(error as Error).message}`, { cause: error });
  }
  const result = localStatus.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new LocalStatusError(`${what}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "wrong form"}`);
  }
  return result.data;
}
