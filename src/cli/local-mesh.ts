/** What the `local` commands have in common: which mesh, its engine's answers, its pods by name. */
import { request } from "node:http";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { EngineView, PodView } from "../local/control.ts";
import { isAlive, readRecord, type EngineRecord } from "../local/host.ts";
import { layoutOf, stateRoot, type Layout } from "../local/layout.ts";
import { ask, bySocket } from "./ask.ts";
import { CommandError } from "./errors.ts";
import { findMesh } from "./find-mesh.ts";
import { type GlobalOptions, globalOptions } from "./global-options.ts";

export const defaultMesh = "default";

/** The name and state folder that the options name, whether it runs or not. */
export function chosenMesh(options: Pick<GlobalOptions, "mesh" | "state"> & { readonly name?: string }): {
  readonly name: string;
  readonly layout: Layout;
} {
  const name = options.name ?? options.mesh ?? defaultMesh;
  if (!/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name)) {
    throw new CommandError(
      `"${name}" cannot be the name of a mesh: up to 32 lower-case letters, digits and "-"`,
    );
  }
  return {
    name,
    layout: layoutOf(options.state === undefined ? join(stateRoot, name) : resolve(options.state)),
  };
}

export interface RunningMesh {
  readonly name: string;
  readonly layout: Layout;
  readonly record: EngineRecord;
}

/** The running mesh that the options name; throws CommandError when there is none. */
export async function runningMesh(command: Command): Promise<RunningMesh> {
  const options = globalOptions(command);
  const found = await findMesh(options).catch((error: unknown) => {
    if (options.mesh === undefined && options.state === undefined) {
      return { name: defaultMesh, state: join(stateRoot, defaultMesh) };
    }
    throw error;
  });
  const layout = layoutOf(found.state);
  const record = readRecord(layout);
  if (record === undefined || !isAlive(record)) {
    throw new CommandError(
      `mesh "${found.name}" is not running (state folder ${found.state}); "nginx-meshctl local up -f DIR" starts one`,
    );
  }
  return { name: found.name, layout, record };
}

export async function engineStatus(
  mesh: { readonly name: string; readonly layout: Layout },
  timeout: number,
): Promise<EngineView> {
  const whom = `the engine of mesh "${mesh.name}"`;
  return (await ask({ ...bySocket(mesh.layout.controlSocket), path: "/", timeout, whom })) as EngineView;
}

/** Tells the engine to do something. Throws CommandError when it does not answer with success. */
export function tellEngine(
  mesh: { readonly name: string; readonly layout: Layout },
  path: string,
  timeout: number,
): Promise<void> {
  return new Promise((done, fail) => {
    const failed = (why: string): void =>
      fail(new CommandError(`the engine of mesh "${mesh.name}" did not do ${path}: ${why}`));
    const message = request(
      { socketPath: mesh.layout.controlSocket, path, method: "POST", timeout },
      (response) => {
        response.resume();
        response.on("end", () =>
          response.statusCode === 200 ? done() : failed(`status ${response.statusCode}`),
        );
      },
    );
    message.on("timeout", () => message.destroy(new Error(`no answer within ${timeout / 1000} s`)));
    message.on("error", (error) => failed(error.message));
    message.end();
  });
}

/** `name`, `namespace/name`, `kind/name` or a workload's name: the pod, or a workload's first pod. */
export function findPod(view: EngineView, text: string, namespace: string | undefined): PodView {
  const inNamespace = view.pods.filter((pod) => namespace === undefined || pod.namespace === namespace);
  const byOrder = [...inNamespace].sort(
    (a, b) => Number(b.ready) - Number(a.ready) || (a.name < b.name ? -1 : 1),
  );
  const exact = byOrder.filter((pod) => pod.name === text || `${pod.namespace}/${pod.name}` === text);
  const owned = byOrder.filter((pod) => {
    const [kind, name] = pod.owner.split("/");
    return (
      name === text ||
      pod.owner === text ||
      `${kind}s/${name}` === text ||
      `${pod.namespace}/${name}` === text
    );
  });
  const found = exact[0] ?? owned[0];
  if (found === undefined) {
    const known = view.pods.map((pod) => `${pod.namespace}/${pod.name}`).join(", ");
    throw new CommandError(
      `there is no pod or workload "${text}"; the mesh has ${known === "" ? "no pods" : known}`,
    );
  }
  return found;
}

/** `-n` when the user gave one: its default is the control plane's namespace, where no pods are. */
export function podNamespace(command: Command): string | undefined {
  const given = command.parent?.parent?.getOptionValueSource("namespace");
  return given === "cli" || given === "env" ? globalOptions(command).namespace : undefined;
}
