/** `inject`: manifests with the sidecar, for who applies them without the webhook. */
import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import { Command, InvalidArgumentError, Option } from "commander";

import { readPorts } from "../api/annotations.ts";
import { formatProblem } from "../api/problem.ts";
import { type InjectedObject, injectManifest } from "../inject/manifest.ts";
import { injectSettings, type InjectSettings } from "../inject/settings.ts";
import { controllerClient } from "./controller-client.ts";
import { CommandError, exitStatus } from "./errors.ts";
import type { Output } from "./program.ts";

interface InjectOptions {
  readonly file?: string;
  readonly settings?: string;
  readonly ignoreIncomingPorts: readonly number[];
  readonly ignoreOutgoingPorts: readonly number[];
}

/** Path of the control API that serves the settings. */
const settingsPath = "/injection";

function parsePorts(value: string): readonly number[] {
  const reading = readPorts(value);
  if ("error" in reading) {
    throw new InvalidArgumentError(`${reading.error}: write them as 80,443.`);
  }
  return reading.value ?? [];
}

function portsOption(flags: string, what: string): Option {
  return new Option(flags, what).argParser(parsePorts).default([], "none");
}

export function injectCommand(output: Output): Command {
  return new Command("inject")
    .summary("manifests with the sidecar in their pods")
    .description(
      "Writes the manifests, YAML or JSON, with the sidecar in every pod: of Deployments, DaemonSets, StatefulSets, ReplicaSets, ReplicationControllers, Jobs, CronJobs and Pods. What needs no change stays byte for byte. When one pod cannot have a sidecar nothing is written.",
    )
    .option("-f, --file <file>", "manifest to read (default: standard input)")
    .addOption(portsOption("--ignore-incoming-ports <ports>", "ports that clients reach without the sidecar"))
    .addOption(
      portsOption("--ignore-outgoing-ports <ports>", "ports that the pods reach without their sidecar"),
    )
    .option(
      "--settings <file>",
      `settings of the mesh, as its controller serves them (default: the controller's)`,
    )
    .action(async (options: InjectOptions, command: Command) => {
      const { name, text } = await readInput(options.file);
      const settings = await settingsOf(options.settings, command, output);
      const result = injectManifest(text, { ...options, settings });
      if ("problem" in result) {
        throw new CommandError(`${name}:${result.line}: ${result.problem.message}; nothing was written`);
      }
      report(result.objects, name, output.warn);
      output.print(result.text);
    });
}

async function readInput(
  file: string | undefined,
): Promise<{ readonly name: string; readonly text: string }> {
  if (file !== undefined && file !== "-") {
    return { name: file, text: await readText(file, "manifest") };
  }
  if (process.stdin.isTTY) {
    throw new CommandError("no manifest: name one with -f FILE, or send it by a pipe");
  }
  return { name: "standard input", text: await readAll(process.stdin) };
}

async function readText(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new CommandError(`cannot read the ${what} ${file}: ${(cause as Error).message}`, { cause });
  }
}

async function settingsOf(
  file: string | undefined,
  command: Command,
  output: Output,
): Promise<InjectSettings> {
  const from = file ?? "the controller's answer";
  const raw =
    file === undefined
      ? await (await controllerClient(command, output)).get(settingsPath)
      : parseJson(await readText(file, "settings"), file);
  const parsed = injectSettings.safeParse(raw);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const field = issue?.path.join(".") ?? "";
    throw new CommandError(
      `cannot use the settings for injection from ${from}: ${field === "" ? "" : `${field}: `}${issue?.message ?? ""}; are nginx-meshctl and the mesh of one version? "nginx-meshctl version" tells`,
    );
  }
  return parsed.data;
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CommandError(`cannot read the settings ${file}: ${(cause as Error).message}`, { cause });
  }
}

/** Tells what became of the objects; throws when one is refused. */
function report(objects: readonly InjectedObject[], name: string, warn: (text: string) => void): void {
  let refused = 0;
  for (const { injection, line } of objects) {
    const say = (text: string) => warn(`${name}:${line}: ${text}\n`);
    switch (injection.outcome) {
      case "refused":
        refused += 1;
        injection.problems.map(formatProblem).forEach(say);
        break;
      case "injected":
        injection.warnings.forEach((warning) => say(`warning: ${formatProblem(warning)}`));
        break;
      case "unchanged":
        if (injection.hasPods) {
          say(`${injection.object} stays as it is: ${injection.why}`);
        }
        break;
    }
  }
  if (refused > 0) {
    throw new CommandError(
      `${refused} of ${objects.length} objects cannot have the sidecar, for the reasons above; nothing was written`,
      { status: exitStatus.notWell },
    );
  }
  if (objects.every(({ injection }) => injection.outcome === "unchanged" && !injection.hasPods)) {
    warn(`${name}: no object has pods; it is written as it was\n`);
  }
}
