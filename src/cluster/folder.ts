/** A folder of Kubernetes manifests as objects. What cannot be read leaves the last good objects of its file in force. */
import type { Dirent } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { identify, type MeshObject } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { type SourcedObject, uniqueObjects } from "./snapshot.ts";

/** A manifest is text that people write; more is a mistake or an attack. */
const largestFile = 4 * 1024 * 1024;
const mostFiles = 2000;
/**
 * A file that lost objects this recently may be in the middle of being written (truncated, or removed to be made
 * anew): it is read again before anything is removed from the mesh.
 */
const settleMilliseconds = 50;
const mostSettling = 4;
/** Times of files are exact to a few milliseconds; a file as young as this may change without looking changed. */
const youngMilliseconds = 20;

/** The folder cannot be used at all. */
export class FolderError extends Error {
  override readonly name = "FolderError";
}

interface ReadFile extends Manifest {
  /** Equal: the file has not changed. */
  readonly signature: string;
  /** Names of those objects that are from a text before. */
  readonly kept: ReadonlySet<string>;
  /** Milliseconds since 1970 at which objects disappeared from it. */
  readonly lostAt?: number;
}

export interface FolderContents {
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  readonly files: number;
  /** Name of an object (see `identify`) → the file that it is from. */
  readonly sources: ReadonlyMap<string, string>;
}

/** Remembers what it has read, so that only changed files are read again. */
export interface Folder {
  /** Throws FolderError when there is no such folder, or no manifest in it. One call at a time. */
  read(): Promise<FolderContents>;
}

function isManifest(entry: Dirent): boolean {
  return !entry.isDirectory() && /\.(ya?ml|json)$/i.test(entry.name) && !entry.name.startsWith(".");
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
    .filter(isManifest)
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes("/node_modules/"))
    .sort();
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

function namesIn(objects: readonly SourcedObject[]): ReadonlySet<string> {
  return new Set(objects.map((entry) => identify(entry.object)));
}

/** Of `Kind namespace/name` what stays when the kind is another. */
function placeOf(name: string): string {
  return name.slice(name.indexOf(" ") + 1);
}

/**
 * Objects of before that the new text still has, but broken, or may have: what is wrong has another name, or none, and was
 * not wrong before. A kind that the mesh does not use is taken for a broken one where it stands in the place of one that it does.
 */
function keptFrom(before: ReadFile, read: Manifest): readonly SourcedObject[] {
  const had = namesIn(before.objects);
  const told = new Set(before.problems.map((problem) => problem.object));
  const mayBe = (name: string, { object, reason, severity }: Problem): boolean => {
    if (object === name || reason === "InvalidYaml") {
      return true;
    }
    const suspect = !had.has(object) && (before.kept.has(name) || !told.has(object));
    return suspect && (severity === "error" || placeOf(object) === placeOf(name));
  };
  const present = namesIn(read.objects);
  return before.objects.filter((entry) => {
    const name = identify(entry.object);
    return !present.has(name) && read.problems.some((problem) => mayBe(name, problem));
  });
}

/** Whether the new state of a file has lost objects, and so recently that it must be looked at once more. */
function unsettled(before: ReadFile, objects: readonly SourcedObject[], changedAt: number): boolean {
  const present = namesIn(objects);
  const lost = before.objects.some((entry) => !present.has(identify(entry.object)));
  return lost && Math.abs(Date.now() - changedAt) < settleMilliseconds;
}

async function readOne(file: string, name: string, before: ReadFile | undefined): Promise<ReadFile> {
  const failed = (signature: string, message: string): ReadFile => ({
    signature,
    objects: before?.objects ?? [],
    kept: before?.kept ?? new Set(),
    problems: [unreadable(name, message)],
  });
  try {
    const status = await stat(file);
    const signature = `${status.ino} ${status.size} ${status.mtimeMs} ${status.ctimeMs}`;
    if (before?.signature === signature) {
      return before;
    }
    // a pipe would keep its reader waiting for ever
    if (!status.isFile()) {
      return failed(signature, "is no regular file, and not read");
    }
    if (status.size > largestFile) {
      return failed(signature, `is ${status.size} bytes long; at most ${largestFile} are read`);
    }
    const read = readManifest(await readFile(file, "utf8"), name);
    const kept = before === undefined ? [] : keptFrom(before, read);
    const objects = [...read.objects, ...kept];
    const young = Math.abs(Date.now() - status.mtimeMs) < youngMilliseconds;
    if (before !== undefined && unsettled(before, objects, status.mtimeMs)) {
      return { ...before, signature: "", lostAt: status.mtimeMs };
    }
    return { signature: young ? "" : signature, objects, kept: namesIn(kept), problems: read.problems };
  } catch (error) {
    return failed("", `cannot be read: ${(error as Error).message}`);
  }
}

/** Files that are gone stay for a moment: some editors remove a file and make it anew. */
function vanished(known: ReadonlyMap<string, ReadFile>, files: readonly string[]): [string, ReadFile][] {
  const present = new Set(files);
  return [...known]
    .filter(([file, read]) => !present.has(file) && read.objects.length > 0)
    .map(([file, read]): [string, ReadFile] => [
      file,
      { ...read, signature: "", lostAt: read.lostAt ?? Date.now() },
    ])
    .filter(([, read]) => Date.now() - (read.lostAt ?? 0) < settleMilliseconds);
}

function unsettledIn(read: ReadonlyMap<string, ReadFile>): boolean {
  return [...read.values()].some((file) => file.lostAt !== undefined);
}

function contentsOf(read: ReadonlyMap<string, ReadFile>): FolderContents {
  const all = [...read.values()];
  const sources = new Map<string, string>();
  for (const [file, { objects }] of [...read].reverse()) {
    objects.forEach(({ object }) => sources.set(identify(object), file));
  }
  const { objects, problems } = uniqueObjects(all.flatMap((file) => file.objects));
  return {
    objects,
    problems: [...all.flatMap((file) => file.problems), ...problems],
    files: read.size,
    sources,
  };
}

export function openFolder(folder: string): Folder {
  let known: ReadonlyMap<string, ReadFile> = new Map();

  const readAll = async (): Promise<ReadonlyMap<string, ReadFile>> => {
    const files = await manifestsIn(folder);
    const next = new Map<string, ReadFile>(vanished(known, files));
    for (const file of files) {
      next.set(file, await readOne(file, relative(folder, file), known.get(file)));
    }
    return new Map([...next].sort(([a], [b]) => (a < b ? -1 : 1)));
  };

  return {
    async read() {
      known = await readAll();
      for (let again = 0; again < mostSettling && unsettledIn(known); again += 1) {
        await delay(settleMilliseconds);
        known = await readAll();
      }
      if (known.size === 0) {
        throw new FolderError(
          `the folder "${folder}" has no manifests: no *.yaml, *.yml or *.json file is in it`,
        );
      }
      return contentsOf(known);
    },
  };
}
