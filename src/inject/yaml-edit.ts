/** Changes of one YAML document that keep its comments and the order of its fields. */
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Pair,
  visit,
  type YAMLMap,
} from "yaml";
import type { Operation, Path } from "./patch.ts";

/** Aliases that a document may expand to: guards against bombs of nested aliases. */
const mostAliases = 100;

function isMerge({ key }: Pair): boolean {
  return isScalar(key) && typeof key.value === "symbol";
}

/** What is merged instead of the merge keys; what stands in the map itself counts, and then what is merged first. */
function writeOutMerges(map: YAMLMap): void {
  if (!map.items.some(isMerge)) {
    return;
  }
  const keys = new Set(map.items.map(({ key }) => String(key)));
  map.items = map.items.flatMap((pair) => {
    if (!isMerge(pair)) {
      return [pair];
    }
    const sources = isSeq(pair.value) ? pair.value.items : [pair.value];
    return sources.filter(isMap).flatMap((source) => {
      writeOutMerges(source);
      return source.items.filter(({ key }) => !keys.has(String(key)) && keys.add(String(key)));
    });
  });
}

/** A change of one place must not change another that refers to it, so references are written out. */
function writeOutReferences(document: Document): void {
  // throws when there are too many
  document.toJS({ maxAliasCount: mostAliases });
  visit(document, {
    Alias: (_key, alias) => alias.resolve(document)?.clone() as never,
  });
  visit(document, {
    Node: (_key, node) => {
      if (!isAlias(node)) {
        delete (node as { anchor?: string }).anchor;
      }
    },
  });
}

/**
 * What is changed, and what that is in, as blocks without merge keys: a line with everything in braces can be read by nobody, and
 * what is merged cannot be changed.
 */
function unfold(document: Document, path: Path): void {
  for (let depth = 0; depth <= path.length; depth++) {
    const node = document.getIn(path.slice(0, depth), true);
    if (isMap(node)) {
      writeOutMerges(node);
    }
    if (isCollection(node)) {
      node.flow = false;
    }
  }
}

function apply(document: Document, operation: Operation): void {
  const { path } = operation;
  unfold(document, path.slice(0, -1));
  const parent = document.getIn(path.slice(0, -1), true);
  const key = path.at(-1)!;
  if (operation.op === "remove") {
    document.deleteIn(path);
  } else if (isSeq(parent) && operation.op === "add") {
    parent.items.splice(
      Number(key),
      0,
      document.createNode(operation.value, { aliasDuplicateObjects: false }),
    );
  } else {
    document.setIn(path, document.createNode(operation.value, { aliasDuplicateObjects: false }));
  }
}

/** Whether lists stand deeper than the key that they belong to, in the first list that there is. */
function indentsLists(document: Document, text: string): boolean {
  let indented: boolean | undefined;
  visit(document, {
    Pair: (_key, pair) => {
      if (isPair(pair) && isSeq(pair.value) && pair.value.flow !== true && isScalar(pair.key)) {
        const column = (offset: number) => offset - (text.lastIndexOf("\n", offset - 1) + 1);
        const [key, list] = [pair.key.range?.[0], pair.value.range?.[0]];
        if (key !== undefined && list !== undefined) {
          indented = column(list) > column(key);
          return visit.BREAK;
        }
      }
      return undefined;
    },
  });
  return indented ?? true;
}

/** Whether `{ a: b }` has its spaces, in the first such map or list that there is. */
function padsFlow(document: Document, text: string): boolean {
  let padded: boolean | undefined;
  visit(document, {
    Collection: (_key, node) => {
      const start = node.range?.[0];
      if (node.flow !== true || start === undefined || node.items.length === 0) {
        return undefined;
      }
      padded = /\s/.test(text[start + 1] ?? "");
      return visit.BREAK;
    },
  });
  return padded ?? true;
}

/** The document with the changes, as text in its own style; `text` is what it was read from. */
export function editYaml(document: Document, text: string, operations: readonly Operation[]): string {
  const indentSeq = indentsLists(document, text);
  const flowCollectionPadding = padsFlow(document, text);
  writeOutReferences(document);
  for (const operation of operations) {
    apply(document, operation);
  }
  return document.toString({ lineWidth: 0, indentSeq, flowCollectionPadding });
}
