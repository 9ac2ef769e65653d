/** `validate`: what is wrong with manifests, before a cluster sees them. */
import { readFile, stat } from "node:fs/promises";
import { Command } from "commander";

import { identify, type MeshObject } from "../api/objects.ts";
import { formatProblem, type Problem } from "../api/problem.ts";
import { validateManifests } from "../admission/manifests.ts";
import { FolderError, openFolder } from "../cluster/folder.ts";
import { readManifest } from "../cluster/manifest.ts";
import { type SourcedObject, uniqueObjects } from "../cluster/snapshot.ts";
import { CommandError, exitStatus } from "./errors.ts";
import { globalOptions, outputOption, type OutputFormat } from "./global-options.ts";
import type { Output } from "./program.ts";

interface Read {
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  /** Name of an object → where it stands. */
  readonly sources: ReadonlyMap<string, string>;
}

interface ValidateOptions {
  readonly file: readonly string[];
  readonly output: OutputFormat;
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

export function validateCommand(output: Output): Command {
  return new Command("validate")
    .summary("what is wrong with manifests")
    .description(
      "Finds what is wrong with manifests: unknown fields, values that mean nothing, conflicts, references that lead nowhere; what the validation webhook would refuse, and what the mesh would not use. Asks no cluster. A folder is taken for the whole: what is referred to must be in it. With files alone, a reference to what is not in them is a warning.\n\nExit status: 0 no errors, 1 errors, 2 nothing could be read.",
    )
    .requiredOption("-f, --file <file>", "manifest, or folder of manifests; may be repeated", collect, [])
    .addOption(outputOption())
    .action(async (options: ValidateOptions, command: Command) => {
      if (options.file.length === 0) {
        throw new CommandError("no manifest: name a file or folder with -f");
      }
      const parts = await Promise.all(options.file.map(read));
      const whole = parts.some((part) => part.folder);
      const { objects, problems, sources } = merged(parts);
      const found = validateManifests({
        objects,
        problems,
        whole,
        meshNamespace: globalOptions(command).namespace,
      });
      print(found, sources, objects.length, options.output, output.print);
      if (found.some((problem) => problem.severity === "error")) {
        process.exitCode = exitStatus.notWell;
      }
    });
}

async function read(path: string): Promise<Read & { readonly folder: boolean }> {
  try {
    if ((await stat(path)).isDirectory()) {
      return { ...(await openFolder(path).read()), folder: true };
    }
    const { objects, problems } = readManifest(await readFile(path, "utf8"), path);
    const unique = uniqueObjects(objects);
    return {
      objects: unique.objects,
      problems: [...problems, ...unique.problems],
      sources: new Map(objects.map(({ object, source }) => [identify(object), source])),
      folder: false,
    };
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CommandError(cause instanceof FolderError ? why : `cannot read ${path}: ${why}`, { cause });
  }
}

function merged(parts: readonly Read[]): Read {
  const sources = new Map(parts.flatMap((part) => [...part.sources]));
  const sourced = parts.flatMap((part) =>
    part.objects.map((object): SourcedObject => ({
      object,
      source: part.sources.get(identify(object)) ?? "",
    })),
  );
  const unique = uniqueObjects(sourced);
  return {
    objects: unique.objects,
    problems: [...parts.flatMap((part) => part.problems), ...unique.problems],
    sources,
  };
}

function print(
  problems: readonly Problem[],
  sources: ReadonlyMap<string, string>,
  objects: number,
  format: OutputFormat,
  write: (text: string) => void,
): void {
  const located = problems.map((problem) => ({ ...problem, source: sources.get(problem.object) ?? "" }));
  if (format === "json") {
    write(`${JSON.stringify({ objects, problems: located }, undefined, 2)}\n`);
    return;
  }
  for (const problem of located) {
    const where = problem.source === "" ? "" : `${problem.source}: `;
    write(`${problem.severity}: ${where}${formatProblem(problem)} (${problem.reason})\n`);
  }
  const count = (severity: Problem["severity"]) =>
    problems.filter((problem) => problem.severity === severity).length;
  const plural = (many: number, word: string) => `${many} ${word}${many === 1 ? "" : "s"}`;
  write(
    `${plural(objects, "object")}, ${plural(count("error"), "error")}, ${plural(count("warning"), "warning")}\n`,
  );
}
