/** Writes the CustomResourceDefinitions of the chart from src/api; with `--check` it only says which are out of date. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { customResourceDefinitions } from "../src/api/crds.ts";

const folder = join(import.meta.dirname, "../charts/nginx-mesh/crds");
/** SPIRE's, which is not made from our schemas. */
const foreign = new Set(["clusterspiffeids.spire.spiffe.io.yaml"]);
const head = "# Made from src/api/crds.ts by `make crds`.\n";

const wanted = new Map(
  customResourceDefinitions().map((definition) => [
    `${definition.metadata.name}.yaml`,
    // Kubernetes reads YAML 1.1, where `off` is a boolean and must be quoted
    head + stringify(definition, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false }),
  ]),
);
mkdirSync(folder, { recursive: true });
const present = readdirSync(folder).filter((name) => !foreign.has(name));
const changed = [...wanted].filter(
  ([name, text]) => !existsSync(join(folder, name)) || readFileSync(join(folder, name), "utf8") !== text,
);
const superfluous = present.filter((name) => !wanted.has(name));

if (process.argv[2] === "--check") {
  const names = [...changed.map(([name]) => name), ...superfluous];
  if (names.length > 0) {
    console.error(`charts/nginx-mesh/crds differs from src/api in ${names.join(", ")}: run "make crds"`);
    process.exit(1);
  }
} else {
  changed.forEach(([name, text]) => writeFileSync(join(folder, name), text));
  superfluous.forEach((name) => rmSync(join(folder, name)));
}
