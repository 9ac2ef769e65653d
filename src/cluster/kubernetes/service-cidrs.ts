/** Ranges of Service addresses (KEP-1880). */
import * as z from "zod";
import { type Entry, unreadable } from "./entry.ts";
import { referenceOf } from "./objects.ts";
import { serviceCidrs as resource } from "./resources.ts";

const serviceCidr = z.object({ spec: z.object({ cidrs: z.array(z.union([z.cidrv4(), z.cidrv6()])) }) });

export function readServiceCidr(raw: unknown): Entry<readonly string[]> {
  const reference = { ...referenceOf(resource, raw), generation: 0 };
  const result = serviceCidr.safeParse(raw);
  return result.success
    ? { value: result.data.spec.cidrs, problems: [], reference }
    : unreadable(reference, result.error, "unknown addresses in it count as outside the mesh");
}
