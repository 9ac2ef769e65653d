/** Which local mesh a command is about. */
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";

import { layoutOf, stateRoot } from "../local/layout.ts";
import { CommandError } from "./errors.ts";
import type { GlobalOptions } from "./global-options.ts";

export interface LocalMesh {
  readonly name: string;
  /** State folder. */
  readonly state: string;
}

/** Socket of the controller's HTTP interface. */
export function controllerSocket(mesh: LocalMesh): string {
  return layoutOf(mesh.state).controllerSocket;
}

/** The mesh that `--mesh` or `--state` name, else the only one that runs. Throws CommandError. */
export async function findMesh(
  options: Pick<GlobalOptions, "mesh" | "state">,
  root: string = stateRoot,
): Promise<LocalMesh> {
  if (options.state !== undefined) {
    const state = resolve(options.state);
    return { name: options.mesh ?? state.split("/").at(-1) ?? state, state };
  }
  const present = listMeshes(root);
  if (options.mesh !== undefined) {
    const found = present.find((mesh) => mesh.name === options.mesh);
    if (found === undefined) {
      throw new CommandError(
        `there is no local mesh "${options.mesh}" in ${root}${known(present)}; "nginx-meshctl local up -f DIR" starts one`,
      );
    }
    return found;
  }
  return onlyRunning(present, root);
}

/** Whether any local mesh runs. */
export async function localMeshRuns(root: string = stateRoot): Promise<boolean> {
  const present = listMeshes(root);
  return (await Promise.all(present.map(isRunning))).some(Boolean);
}

async function onlyRunning(present: readonly LocalMesh[], root: string): Promise<LocalMesh> {
  const runs = await Promise.all(present.map(isRunning));
  const running = present.filter((_mesh, i) => runs[i]);
  const [first, ...others] = running;
  if (first === undefined) {
    throw new CommandError(
      `no local mesh is running (looked in ${root}); "nginx-meshctl local up -f DIR" starts one, --state names another folder`,
    );
  }
  if (others.length > 0) {
    throw new CommandError(`several local meshes are running${known(running)}; choose one with --mesh`);
  }
  return first;
}

function known(meshes: readonly LocalMesh[]): string {
  return meshes.length === 0 ? "" : ` (${meshes.map((mesh) => mesh.name).join(", ")})`;
}

function listMeshes(root: string): LocalMesh[] {
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => ({ name: entry.name, state: join(root, entry.name) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return [];
    }
    throw new CommandError(`cannot look for local meshes in ${root}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Something accepts connections, or may do so but not for this user. */
function isRunning(mesh: LocalMesh): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(controllerSocket(mesh));
    socket.on("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code === "EACCES"));
  });
}
