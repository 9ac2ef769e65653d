/** The pods of a local mesh, for `status`. */
import { join } from "node:path";

import { readLocalStatus } from "../cluster/local-status.ts";
import { CommandError } from "./errors.ts";
import type { LocalMesh } from "./find-mesh.ts";
import type { MeshPod } from "./status-text.ts";

/** Throws CommandError when the engine's file cannot be read. */
export async function localPods(mesh: LocalMesh): Promise<readonly MeshPod[]> {
  const file = join(mesh.state, "status.json");
  try {
    const { pods } = await readLocalStatus(file);
    return pods.map((pod) => ({ ...pod, trouble: `; "nginx-meshctl local logs ${pod.name}" may say why` }));
  } catch (error) {
    throw new CommandError(`cannot read the pods of mesh "${mesh.name}" from ${file}: ${String(error)}`, {
      cause: error,
    });
  }
}
