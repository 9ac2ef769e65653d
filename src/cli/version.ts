/** `version`: of this tool, and of the control plane and the sidecars that it can reach. */
import { Command } from "commander";

import { version } from "../controller/version.ts";
import { injectedPods } from "./cluster-status.ts";
import { type ControllerClient, controllerClient } from "./controller-client.ts";
import { CommandError } from "./errors.ts";
import { type OutputFormat, outputOption } from "./global-options.ts";
import type { Pod } from "./kube-objects.ts";
import type { Output } from "./program.ts";

/** Names of programs → versions; several where pods differ. */
export type Versions = Readonly<Record<string, string | readonly string[]>>;

const controller = "nginx-mesh-controller";
const sidecar = "nginx-mesh-sidecar";

export function versionText(versions: Versions): string {
  return Object.entries(versions)
    .flatMap(([name, numbers]) => [numbers].flat().map((number) => `${name} - v${number}\n`))
    .join("");
}

/** What the references of the sidecars' images say: their tags, else their digests. Sorted. Pure. */
export function sidecarVersions(pods: readonly Pod[]): string[] {
  const images = pods.flatMap(({ spec }) =>
    [...spec.initContainers, ...spec.containers].filter(({ name }) => name === sidecar),
  );
  const tags = images.map(({ image }) => /(?::([^:/@]+))?(?:@(.+))?$/.exec(image));
  return [...new Set(tags.map((match) => match?.[1] ?? match?.[2] ?? "unknown"))].sort();
}

/** In local mode controller and sidecars come from one build, so the controller speaks for both. */
async function meshVersions({ mesh, get }: ControllerClient): Promise<Versions> {
  const status = (await get("/status")) as { readonly version?: unknown };
  const number = typeof status.version === "string" ? status.version : "unknown";
  const sidecars =
    mesh.kind === "local" ? [number] : sidecarVersions(await injectedPods(mesh.cluster.client));
  return { [controller]: number, [sidecar]: sidecars.length === 1 ? (sidecars[0] ?? "") : sidecars };
}

export function versionCommand(output: Output): Command {
  return new Command("version")
    .summary("versions of this tool and of the mesh")
    .description(
      "Prints the version of this tool, and those of the control plane and the sidecars if a mesh runs.",
    )
    .addOption(outputOption())
    .action(async (options: { output: OutputFormat }, command: Command) => {
      const own: Versions = { "nginx-meshctl": version };
      const others = await controllerClient(command, output)
        .then(meshVersions)
        .catch((error: unknown) => {
          if (!(error instanceof CommandError)) {
            throw error;
          }
          output.warn(`versions of the mesh are not known: ${error.message}\n`);
          return {};
        });
      const versions = { ...own, ...others };
      output.print(
        options.output === "json" ? `${JSON.stringify(versions, undefined, 2)}\n` : versionText(versions),
      );
    });
}
