/** Ends a mesh and removes what is left of it. */
import { cleanUp, type EngineRecord, isAlive, untilEnded } from "../local/host.ts";
import type { Layout } from "../local/layout.ts";
import { tellEngine } from "./local-mesh.ts";
import type { Output } from "./program.ts";

export interface Mesh {
  readonly name: string;
  readonly layout: Layout;
}

/** Milliseconds that applications get to end; after that the kernel ends them. */
const patience = 40_000;

/** Lets applications end by themselves first. */
export async function endMesh(mesh: Mesh, record: EngineRecord, output: Output): Promise<void> {
  if (isAlive(record)) {
    const told = await tellEngine(mesh, "/stop", 5000).then(
      () => true,
      () => false,
    );
    if (told && !(await untilEnded(record, patience))) {
      output.warn(`not ended after ${patience / 1000} s: ending it by force\n`);
    }
  }
  await cleanUp(mesh.layout);
}
