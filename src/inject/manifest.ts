/** The text of a manifest → the same with sidecars: YAML or JSON, several documents, Lists. Pure. */
import { LineCounter } from "yaml";
import type { Problem } from "../api/problem.ts";
import { parseKubernetesYaml } from "../api/yaml.ts";
import { injectObject, type ObjectInjection, type ObjectOptions } from "./object.ts";
import { applyPatch, below, type Operation } from "./patch.ts";
import { editYaml } from "./yaml-edit.ts";

/** What became of one object. */
export interface InjectedObject {
  readonly injection: ObjectInjection;
  /** Of the document that it stands in, from 1. */
  readonly line: number;
}

export type ManifestInjection =
  | { readonly text: string; readonly objects: readonly InjectedObject[] }
  /** It cannot be read. */
  | { readonly problem: Problem; readonly line: number };

/** An object, and where in its document it stands. */
interface Item {
  readonly value: unknown;
  readonly path: readonly (string | number)[];
}

/** The objects of a List (also of a DeploymentList and the like), or the document itself. */
function itemsOf(value: unknown): readonly Item[] {
  const list = value as { kind?: unknown; items?: unknown } | null;
  const isList =
    typeof list === "object" &&
    list !== null &&
    typeof list.kind === "string" &&
    list.kind.endsWith("List") &&
    Array.isArray(list.items);
  return isList
    ? (list.items as unknown[]).flatMap((item, index) =>
        itemsOf(item).map(({ value: each, path }) => ({ value: each, path: ["items", index, ...path] })),
      )
    : [{ value, path: [] }];
}

function injectValue(
  value: unknown,
  line: number,
  options: ObjectOptions,
): { readonly objects: readonly InjectedObject[]; readonly operations: readonly Operation[] } {
  const parts = itemsOf(value).map((item) => ({ item, injection: injectObject(item.value, options) }));
  return {
    objects: parts.map(({ injection }) => ({ injection, line })),
    operations: parts.flatMap(({ item, injection }) =>
      injection.outcome === "injected" ? below(item.path, injection.operations) : [],
    ),
  };
}

/** Spaces, or a tab, by which JSON is indented; "" when it stands in one line. */
function indentOf(json: string): string {
  return /^[^\n]*\n([ \t]+)/.exec(json)?.[1] ?? "";
}

function injectJson(value: unknown, text: string, options: ObjectOptions): ManifestInjection {
  const { objects, operations } = injectValue(value, 1, options);
  if (operations.length === 0) {
    return { text, objects };
  }
  const ending = /\s*$/.exec(text)![0];
  return {
    text: `${JSON.stringify(applyPatch(value, operations), undefined, indentOf(text))}${ending}`,
    objects,
  };
}

/** A line of three hyphens always begins a document (YAML 1.2.2, section 9.1.2); it stays with what follows. */
function documentsOf(text: string): readonly string[] {
  return text.split(/^(?=---(?:\s|$))/m);
}

function unreadable(line: number, message: string): ManifestInjection {
  return {
    problem: { object: "manifest", field: "", reason: "InvalidYaml", message, severity: "error" },
    line,
  };
}

function injectDocument(text: string, line: number, options: ObjectOptions): ManifestInjection {
  const lines = new LineCounter();
  const [document, second] = parseKubernetesYaml(text, lines);
  if (document === undefined) {
    return { text, objects: [] };
  }
  const error = document.errors[0];
  if (error !== undefined) {
    const at = lines.linePos(error.pos[0]);
    const message = error.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "");
    return unreadable(line + at.line - 1, `${message} (column ${at.col})`);
  }
  if (second !== undefined) {
    return unreadable(line, 'two documents without a line "---" between them: write one');
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (value === null || value === undefined) {
    return { text, objects: [] };
  }
  const first = line + lines.linePos(document.contents?.range?.[0] ?? 0).line - 1;
  const { objects, operations } = injectValue(value, first, options);
  return { text: operations.length === 0 ? text : editYaml(document, text, operations), objects };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function injectYaml(text: string, options: ObjectOptions): ManifestInjection {
  const parts: string[] = [];
  const objects: InjectedObject[] = [];
  let line = 1;
  for (const document of documentsOf(text)) {
    const result = injectDocument(document, line, options);
    if ("problem" in result) {
      return result;
    }
    parts.push(result.text);
    objects.push(...result.objects);
    line += document.split("\n").length - 1;
  }
  return { text: parts.join(""), objects };
}

/** Documents that need no change stay byte for byte. Never throws: what cannot be read is a problem with its line. */
export function injectManifest(text: string, options: ObjectOptions): ManifestInjection {
  const json = parseJson(text);
  if (typeof json === "object" && json !== null) {
    return injectJson(json, text, options);
  }
  try {
    return injectYaml(text, options);
  } catch (cause) {
    // more aliases than the limit, or nested so deeply that the parser's stack does not suffice
    return unreadable(1, (cause as Error).message);
  }
}
