/**
 * Schemas for kubeconform, without a network: of Kubernetes' own kinds from its swagger.json, of the mesh's from the chart's CRDs.
 * Unknown fields are errors everywhere, as the API server drops them silently.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

type Json = Record<string, unknown>;

interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** As in the template of names that is given to kubeconform. */
export const nameTemplate = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json";

function nameOf({ group, version, kind }: GroupVersionKind): string {
  // kubeconform takes what is before the slash of apiVersion, or all of it where there is none
  return `${kind.toLowerCase()}-${group === "" ? version : group}-${version}.json`;
}

/** Closes every object that has fields, and lets a number or a string be what it says. */
function strict(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(strict);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const from = value as Json;
  if (from["format"] === "int-or-string" || from["x-kubernetes-int-or-string"] === true) {
    return { type: ["integer", "string"] };
  }
  const to: Json = Object.fromEntries(Object.entries(from).map(([key, each]) => [key, strict(each)]));
  const isObject = typeof from["properties"] === "object" && typeof from["properties"] !== "string";
  const isSchema = isObject && (from["type"] === "object" || from["type"] === undefined);
  return isSchema && to["additionalProperties"] === undefined && !Object.hasOwn(from, "$ref")
    ? { ...to, additionalProperties: false }
    : to;
}

/** Names of the definitions that one needs, itself among them. */
function reachable(definitions: Json, start: string, found: Set<string>): Set<string> {
  if (!found.has(start)) {
    found.add(start);
    for (const [, name] of JSON.stringify(definitions[start]).matchAll(/"#\/definitions\/([^"]+)"/g)) {
      reachable(definitions, name!, found);
    }
  }
  return found;
}

function writeBuiltIn(swagger: string, folder: string): void {
  const raw = (JSON.parse(readFileSync(swagger, "utf8")) as { definitions: Record<string, Json> })
    .definitions;
  const definitions: Json = Object.fromEntries(
    Object.entries(raw).map(([name, each]) => [name, strict(each)]),
  );
  for (const [name, definition] of Object.entries(raw)) {
    const kinds = definition["x-kubernetes-group-version-kind"] as readonly GroupVersionKind[] | undefined;
    if (kinds?.length !== 1) {
      continue;
    }
    const needed = [...reachable(definitions, name, new Set())].map((each) => [each, definitions[each]]);
    const schema = { $ref: `#/definitions/${name}`, definitions: Object.fromEntries(needed) as Json };
    writeFileSync(join(folder, nameOf(kinds[0]!)), JSON.stringify(schema));
  }
}

function writeCustom(crds: string, folder: string): void {
  for (const file of readdirSync(crds)) {
    const { spec } = parse(readFileSync(join(crds, file), "utf8")) as {
      spec: {
        group: string;
        names: { kind: string };
        versions: { name: string; schema: { openAPIV3Schema: Json } }[];
      };
    };
    for (const { name, schema } of spec.versions) {
      const form = schema.openAPIV3Schema;
      // the API server has its own idea of metadata
      const fields = { ...(form["properties"] as Json), metadata: {} };
      const target = nameOf({ group: spec.group, version: name, kind: spec.names.kind });
      const closed = strict({ ...form, properties: fields }) as Json;
      writeFileSync(join(folder, target), JSON.stringify(closed));
    }
  }
}

export function writeSchemas(swagger: string, crds: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeBuiltIn(swagger, folder);
  writeCustom(crds, folder);
}
