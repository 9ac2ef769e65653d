/** How a mesh of local mode was asked for; handed to the engine as one JSON argument. */
import * as z from "zod";

export const engineSettings = z.strictObject({
  name: z.string(),
  /** State folder. */
  state: z.string(),
  /** Folder of manifests. */
  manifests: z.string(),
  trustDomain: z.string(),
  svidTtlSeconds: z.number().positive(),
  caTtlSeconds: z.number().positive(),
  caOverlapSeconds: z.number().positive().optional(),
  caKeyType: z.enum(["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"]),
  /** The checkout or installation: build/ and the Node that runs this. */
  program: z.string(),
  sidecarRoot: z.string(),
  /** Second byte of the mesh's addresses, see `addressPlan`. */
  network: z.int(),
});
export type EngineSettings = z.infer<typeof engineSettings>;
