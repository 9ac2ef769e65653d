/** What commands ask the controller of a mesh. */
import type { Command } from "commander";

import { ask } from "./ask.ts";
import { controllerSocket, findMesh, type LocalMesh } from "./find-mesh.ts";
import { globalOptions } from "./global-options.ts";

export interface ControllerClient {
  readonly mesh: LocalMesh;
  /** The JSON at a path of the controller's HTTP interface; throws CommandError. */
  readonly get: (path: string) => Promise<unknown>;
}

/** A client for the mesh that the global options name; throws CommandError when there is none. */
export async function controllerClient(command: Command): Promise<ControllerClient> {
  const options = globalOptions(command);
  const mesh = await findMesh(options);
  const whom = `the controller of mesh "${mesh.name}"`;
  return {
    mesh,
    get: (path) => ask({ socket: controllerSocket(mesh), path, timeout: options.timeout, whom }),
  };
}
