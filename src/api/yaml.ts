/**
 * YAML as kubectl reads and so as we must write it: what go-yaml knows of YAML 1.1 (sigs.k8s.io/yaml). 0400 is octal, yes and off are
 * booleans; dates and numbers to base 60 are strings.
 */
import {
  type CollectionTag,
  type Document,
  type LineCounter,
  parseAllDocuments,
  type Scalar,
  type ScalarTag,
  Schema,
} from "yaml";

type Tag = ScalarTag | CollectionTag;

const known = new Set(
  ["map", "seq", "str", "null", "bool", "int", "float", "merge"].map((name) => `tag:yaml.org,2002:${name}`),
);

const yaml11: readonly Tag[] = new Schema({ schema: "yaml-1.1" }).tags;

const isScalarTag = (tag: Tag): tag is ScalarTag => tag.collection === undefined;

/** Whether some reader of YAML 1.1 takes the text for something else, when it stands without quotes. */
function isAmbiguous(text: string): boolean {
  return yaml11.some((tag) => isScalarTag(tag) && tag.default === true && tag.test?.test(text) === true);
}

/** Numbers that were read stay as they are written; strings that were not read are quoted where they need it. */
function written(tag: Tag): Tag {
  const stringify = isScalarTag(tag) ? tag.stringify : undefined;
  if (stringify === undefined) {
    return tag;
  }
  switch (tag.tag) {
    case "tag:yaml.org,2002:int":
    case "tag:yaml.org,2002:float":
      return { ...tag, stringify: (node, ...rest) => node.source ?? stringify(node, ...rest) } as ScalarTag;
    case "tag:yaml.org,2002:str":
      return {
        ...tag,
        stringify: (node: Scalar, ...rest) => {
          const quoted = node.source === undefined && isAmbiguous(String(node.value));
          return stringify(quoted ? ({ ...node, type: "QUOTE_DOUBLE" } as Scalar) : node, ...rest);
        },
      } as ScalarTag;
    default:
      return tag;
  }
}

const tags = yaml11.filter((tag) => known.has(tag.tag) && (tag as ScalarTag).format !== "TIME").map(written);

/** The documents of a manifest, with their errors. Throws when they are nested so deeply that the parser's stack does not suffice. */
export function parseKubernetesYaml(text: string, lineCounter?: LineCounter): readonly Document.Parsed[] {
  const documents = parseAllDocuments(text, {
    ...(lineCounter === undefined ? {} : { lineCounter }),
    uniqueKeys: true,
    schema: "yaml-1.1",
    // the last is 0o400, of YAML 1.2
    customTags: () => [...tags, "intOct"],
  });
  return Array.isArray(documents) ? documents : [];
}
