import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as z from "zod";
import { customResourceDefinitions } from "./crds.ts";
import { structural } from "./structural.ts";

const expected = join(import.meta.dirname, "../../test/golden/crds.txt");

interface Schema {
  readonly type?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly [rule: string]: unknown;
}

const structure = new Set(["type", "required", "properties", "items", "additionalProperties", "description"]);

/** One line a field: its path, type, whether it is required, and its rules. */
function lines(path: string, schema: Schema, required: boolean): readonly string[] {
  const rules = Object.entries(schema)
    .filter(([name]) => !structure.has(name))
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const { items, additionalProperties: values, properties = {} } = schema;
  const plain = items?.properties === undefined ? items?.type : undefined;
  const words = [
    path,
    schema.type ?? "",
    plain === undefined ? "" : `of ${plain}`,
    values === undefined ? "" : `map of ${values.type}`,
    required ? "required" : "",
    ...rules,
  ].filter((word) => word !== "");
  const inner = items?.properties === undefined ? { path, schema } : { path: `${path}[]`, schema: items };
  return [
    words.join(" "),
    ...Object.entries(inner.schema.properties ?? properties).flatMap(([name, each]) =>
      lines(`${inner.path}.${name}`, each, inner.schema.required?.includes(name) === true),
    ),
  ];
}

interface Spec {
  readonly group: string;
  readonly scope: string;
  readonly names: Readonly<Record<string, unknown>>;
  readonly versions: readonly {
    readonly name: string;
    readonly served: boolean;
    readonly storage: boolean;
    readonly subresources?: object;
    readonly schema: { readonly openAPIV3Schema: Schema };
  }[];
}

function listing(): string {
  return customResourceDefinitions()
    .flatMap((definition) => {
      const { group, scope, names, versions } = definition.spec as Spec;
      return [
        `# ${definition.metadata.name} ${group} ${scope} ${JSON.stringify(names)}`,
        ...versions.flatMap(({ name, served, storage, subresources, schema }) => [
          `## ${name} served=${served} storage=${storage} subresources=${Object.keys(subresources ?? {}).join()}`,
          ...["spec", "status"].flatMap((field) => {
            const each = schema.openAPIV3Schema.properties?.[field];
            return each === undefined
              ? []
              : lines(field, each, schema.openAPIV3Schema.required?.includes(field) === true);
          }),
        ]),
      ];
    })
    .map((line) => `${line}\n`)
    .join("");
}

test("the definitions are those of NSM, field by field", () => {
  assert.equal(listing(), readFileSync(expected, "utf8"));
});

test("every definition has one version that is stored", () => {
  for (const { metadata, spec } of customResourceDefinitions()) {
    const stored = (spec as Spec).versions.filter((version) => version.storage);
    assert.equal(stored.length, 1, metadata.name);
  }
});

const object = (spec: z.ZodType): z.ZodType => z.strictObject({ spec });

for (const [name, spec, result] of [
  ["bounds that zod sets by itself are left out", z.int(), { type: "integer" }],
  ["bounds that are meant stay", z.int().min(0).max(9), { type: "integer", minimum: 0, maximum: 9 }],
  ["a literal is the only value", z.literal("a"), { type: "string", enum: ["a"] }],
  ["a number or a string", z.union([z.int(), z.string()]), { "x-kubernetes-int-or-string": true }],
  ["a slash in a pattern", z.string().regex(/a\/b/), { type: "string", pattern: "a/b" }],
  ["unknown fields are not forbidden", z.strictObject({}), { type: "object" }],
] as const) {
  test(`structural: ${name}`, () => {
    assert.deepEqual(structural(object(spec), {}).spec, result);
  });
}

test("structural: what has no form is refused", () => {
  assert.throws(() => structural(object(z.unknown()), {}), /spec/);
  assert.throws(() => structural(object(z.union([z.boolean(), z.string()])), {}), /the field spec has no/);
});
