/** A folder of Kubernetes manifests as objects. What cannot be read leaves the last good objects of its file in force. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { type Document, LineCounter, parseAllDocuments } from "yaml";
import { parseObject } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { type SourcedObject, uniqueObjects } from "./snapshot.ts";
import type { MeshObject } from "../api/objects.ts";

/** A manifest is text that people write; more is a mistake or an attack. */
const largestFile = 4 * 1024 * 1024;
const mostAliases = 100;
const mostFiles = 2000;

/** The folder cannot be used at all. */
export class FolderError extends Error {
  override readonly name = "FolderError";
}

interface ReadFile {
  readonly signature: string;
  readonly objects: readonly SourcedObject[];
  readonly problems: readonly Problem[];
}

export interface FolderContents {
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  readonly files: number;
}

/** Remembers what it has read, so that only changed files are read again. */
export interface Folder {
  /** Throws FolderError when there is no such folder, or no manifest in it. */
  read(): Promise<FolderContents>;
}

async function manifestsIn(folder: string): Promise<string[]> {
  let entries;
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    throw new FolderError(`cannot read the folder of manifests "${folder}": ${(error as Error).message}`, {
      cause: error,
    });
  }
  const files = entries
    .filter(
      (entry) => !entry.isDirectory() && /\.(ya?ml|json)$/i.test(entry.name) && !entry.name.startsWith("."),
    )
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes("/node_modules/"))
    .sort();
  if (files.length === 0) {
    throw new FolderError(
      `the folder "${folder}" has no manifests: no *.yaml, *.yml or *.json file is in it`,
    );
  }
  if (files.length > mostFiles) {
    throw new FolderError(
      `the folder "${folder}" has ${files.length} manifests; at most ${mostFiles} are read`,
    );
  }
  return files;
}

function unreadable(file: string, message: string): Problem {
  return { object: file, field: "", reason: "UnreadableFile", message, severity: "error" };
}

/** The parts of a List, or the document itself. */
function itemsOf(value: unknown): readonly unknown[] {
  const list = value as { kind?: unknown; items?: unknown } | null;
  if (typeof list === "object" && list !== null && list.kind === "List" && Array.isArray(list.items)) {
    return list.items;
  }
  return [value];
}

function readDocument(
  document: Document.Parsed,
  name: string,
  lines: LineCounter,
): Omit<ReadFile, "signature"> {
  const objects: SourcedObject[] = [];
  const problems: Problem[] = [];
  const error = document.errors[0];
  if (error !== undefined) {
    const at = lines.linePos(error.pos[0]);
    const message = `${error.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "")} (line ${at.line}, column ${at.col})`;
    problems.push({
      object: `${name}:${at.line}:${at.col}`,
      field: "",
      reason: "InvalidYaml",
      message,
      severity: "error",
    });
    return { objects, problems };
  }
  const start = document.contents?.range?.[0] ?? 0;
  const where = `${name}:${lines.linePos(start).line}`;
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: mostAliases });
  } catch (cause) {
    problems.push({
      object: where,
      field: "",
      reason: "InvalidYaml",
      message: (cause as Error).message,
      severity: "error",
    });
    return { objects, problems };
  }
  if (value === null || value === undefined) {
    return { objects, problems };
  }
  for (const item of itemsOf(value)) {
    const parsed = parseObject(item, where);
    problems.push(...parsed.problems);
    if (parsed.object !== undefined) {
      objects.push({ object: parsed.object, source: where });
    }
  }
  return { objects, problems };
}

/** Reads the text of one manifest; exported for the CLI's checks. */
export function readManifest(text: string, name: string): Omit<ReadFile, "signature"> {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: true, uniqueKeys: true });
  if (!Array.isArray(documents)) {
    return { objects: [], problems: [] };
  }
  const parts = documents.map((document) => readDocument(document, name, lines));
  return { objects: parts.flatMap((part) => part.objects), problems: parts.flatMap((part) => part.problems) };
}

async function readOne(file: string, name: string, before: ReadFile | undefined): Promise<ReadFile> {
  const failed = (signature: string, problem: Problem): ReadFile => ({
    signature,
    objects: before?.objects ?? [],
    problems: [problem],
  });
  try {
    const status = await stat(file);
    const signature = `${status.ino} ${status.size} ${status.mtimeMs}`;
    if (before?.signature === signature) {
      return before;
    }
    if (status.size > largestFile) {
      return failed(
        signature,
        unreadable(name, `is ${status.size} bytes long; at most ${largestFile} are read`),
      );
    }
    const read = readManifest(await readFile(file, "utf8"), name);
    // what the last good state of the file had and the new one has no good version of stays in force
    const broken = read.problems.some((problem) => problem.severity === "error");
    const kept = broken ? keepMissing(before?.objects ?? [], read) : [];
    return { signature, objects: [...read.objects, ...kept], problems: read.problems };
  } catch (error) {
    return failed("", unreadable(name, `cannot be read: ${(error as Error).message}`));
  }
}

/** Objects of before that the new text still has, but broken, or may have: its YAML does not parse. */
function keepMissing(
  before: readonly SourcedObject[],
  read: Omit<ReadFile, "signature">,
): readonly SourcedObject[] {
  const present = new Set(read.objects.map((entry) => title(entry.object)));
  const brokenTitles = new Set(read.problems.map((problem) => problem.object));
  const yamlBroken = read.problems.some((problem) => problem.reason === "InvalidYaml");
  return before.filter((entry) => {
    const name = title(entry.object);
    return !present.has(name) && (yamlBroken || brokenTitles.has(name));
  });
}

function title(object: MeshObject): string {
  const metadata = object.metadata as { name: string; namespace?: string };
  return `${object.kind} ${metadata.namespace ?? "default"}/${metadata.name}`;
}

export function openFolder(folder: string): Folder {
  let known = new Map<string, ReadFile>();
  return {
    async read() {
      const files = await manifestsIn(folder);
      const next = new Map<string, ReadFile>();
      for (const file of files) {
        const name = relative(folder, file);
        next.set(file, await readOne(file, name, known.get(file)));
      }
      known = next;
      const all = [...next.values()];
      const { objects, problems } = uniqueObjects(all.flatMap((file) => file.objects));
      return {
        objects,
        problems: [...all.flatMap((file) => file.problems), ...problems],
        files: files.length,
      };
    },
  };
}
