/** Options that every command knows. */
import { Option, type Command } from "commander";

import { parseDuration } from "./duration.ts";

export interface GlobalOptions {
  /** Path of a kubeconfig when the user names one; local meshes need none. */
  readonly kubeconfig?: string;
  /** Namespace of the control plane; for `top` that of the resources. */
  readonly namespace: string;
  /** Milliseconds to wait for an answer. */
  readonly timeout: number;
  /** Name of a local mesh. */
  readonly mesh?: string;
  /** State folder of a local mesh. */
  readonly state?: string;
}

export const defaultNamespace = "nginx-mesh";

export function addGlobalOptions(program: Command): Command {
  return program
    .addOption(
      new Option(
        "-k, --kubeconfig <file>",
        "path of the kubeconfig (default: $KUBECONFIG or ~/.kube/config)",
      ),
    )
    .addOption(
      new Option("-n, --namespace <name>", "namespace of the control plane").default(defaultNamespace),
    )
    .addOption(
      new Option("-t, --timeout <duration>", "how long to wait for the control plane")
        .argParser(parseDuration)
        .default(5000, "5s"),
    )
    .option("--mesh <name>", "local mesh to talk to (default: the only one that runs)")
    .option("--state <dir>", "state folder of a local mesh, instead of its name");
}

export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals();
}

function programOf(command: Command): Command {
  return command.parent === null ? command : programOf(command.parent);
}

/** Whether the user gave a global option. */
export function isGiven(command: Command, name: keyof GlobalOptions): boolean {
  const source = programOf(command).getOptionValueSource(name);
  return source !== undefined && source !== "default";
}

/** Milliseconds of `--timeout`, else what suits the command. */
export function timeoutOf(command: Command, otherwise: number): number {
  return isGiven(command, "timeout") ? globalOptions(command).timeout : otherwise;
}

export type OutputFormat = "text" | "json";

/** `-o json` for commands that print something. */
export function outputOption(): Option {
  return new Option("-o, --output <format>", "output format").choices(["text", "json"]).default("text");
}
