/** `version`: of this tool, and of the control plane and the sidecars that it can reach. */
import { Command } from "commander";

import { controllerClient } from "./controller-client.ts";
import { CommandError } from "./errors.ts";
import { type OutputFormat, outputOption } from "./global-options.ts";
import { version } from "../controller/version.ts";

/** Names of programs → versions. */
export type Versions = Readonly<Record<string, string>>;

export function versionText(versions: Versions): string {
  return Object.entries(versions)
    .map(([name, number]) => `${name} - v${number}\n`)
    .join("");
}

/** The controller and the sidecars come from one build, so the controller speaks for both. */
async function controlPlaneVersions(command: Command): Promise<Versions> {
  const client = await controllerClient(command);
  const status = (await client.get("/status")) as { readonly version?: unknown };
  const number = status.version;
  return typeof number === "string" ? { "nginx-mesh-controller": number, "nginx-mesh-sidecar": number } : {};
}

export function versionCommand(print: (text: string) => void, warn: (text: string) => void): Command {
  return new Command("version")
    .summary("versions of this tool and of the mesh")
    .description(
      "Prints the version of this tool, and those of the control plane and the sidecars if a mesh runs.",
    )
    .addOption(outputOption())
    .action(async (options: { output: OutputFormat }, command: Command) => {
      const own: Versions = { "nginx-meshctl": version };
      const others = await controlPlaneVersions(command).catch((error: unknown) => {
        if (!(error instanceof CommandError)) {
          throw error;
        }
        warn(`versions of the mesh are not known: ${error.message}\n`);
        return {};
      });
      const versions = { ...own, ...others };
      print(
        options.output === "json" ? `${JSON.stringify(versions, undefined, 2)}\n` : versionText(versions),
      );
    });
}
