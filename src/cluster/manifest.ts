/** The text of one manifest as objects: several documents, Lists, YAML or JSON. */
import { type Document, LineCounter } from "yaml";
import { parseObject } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { parseKubernetesYaml } from "../api/yaml.ts";
import type { SourcedObject } from "./snapshot.ts";

/** Aliases that one document may expand to; guards against bombs of nested aliases. */
const mostAliases = 100;

/** Documents in one file; more take seconds to read. */
const mostDocuments = 5000;

export interface Manifest {
  readonly objects: readonly SourcedObject[];
  readonly problems: readonly Problem[];
}

const nothing: Manifest = { objects: [], problems: [] };

/** The parts of a List, or the document itself. */
function itemsOf(value: unknown): readonly unknown[] {
  const list = value as { kind?: unknown; items?: unknown } | null;
  if (typeof list === "object" && list !== null && list.kind === "List" && Array.isArray(list.items)) {
    return list.items;
  }
  return [value];
}

function invalidYaml(object: string, message: string): Manifest {
  return {
    objects: [],
    problems: [{ object, field: "", reason: "InvalidYaml", message, severity: "error" }],
  };
}

function readDocument(document: Document.Parsed, name: string, lines: LineCounter): Manifest {
  const error = document.errors[0];
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    const text = error.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "");
    return invalidYaml(`${name}:${line}:${col}`, `${text} (line ${line}, column ${col})`);
  }
  const where = `${name}:${lines.linePos(document.contents?.range?.[0] ?? 0).line}`;
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: mostAliases });
  } catch (cause) {
    return invalidYaml(where, (cause as Error).message);
  }
  if (value === null || value === undefined) {
    return nothing;
  }
  const parsed = itemsOf(value).map((item) => parseObject(item, where));
  return {
    objects: parsed.flatMap(({ object }) => (object === undefined ? [] : [{ object, source: where }])),
    problems: parsed.flatMap(({ problems }) => problems),
  };
}

/** Reads the text of a manifest; `name` stands for it in problems. Never throws: what is wrong is a problem. */
export function readManifest(text: string, name: string): Manifest {
  if ((text.match(/^---/gm)?.length ?? 0) > mostDocuments) {
    return invalidYaml(name, `has more than ${mostDocuments} documents: write them into several files`);
  }
  const lines = new LineCounter();
  let parts: Manifest[];
  try {
    parts = parseKubernetesYaml(text, lines).map((document) => readDocument(document, name, lines));
  } catch (cause) {
    // nested so deeply that the parser's stack does not suffice
    return invalidYaml(name, (cause as Error).message);
  }
  return { objects: parts.flatMap((part) => part.objects), problems: parts.flatMap((part) => part.problems) };
}
