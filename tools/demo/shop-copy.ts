/** A copy of the example shop whose manifests may be changed. */
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseDocument } from "yaml";

import type { Weights } from "./figures.ts";

export interface ShopCopy {
  readonly folder: string;
  readonly manifests: string;
  /** The file with the weights. */
  readonly split: string;
  setWeights(weights: Weights): void;
  remove(): void;
}

/** Copies the manifests; the programs are shared with the original. */
export function copyShop(shop: string): ShopCopy {
  const folder = mkdtempSync(join(tmpdir(), "nginx-mesh-demo-"));
  const manifests = join(folder, "manifests");
  cpSync(join(shop, "manifests"), manifests, { recursive: true });
  symlinkSync(join(shop, "apps"), join(folder, "apps"));
  const split = join(manifests, "catalog-split.yaml");
  return {
    folder,
    manifests,
    split,
    setWeights(weights) {
      const document = parseDocument(readFileSync(split, "utf8"));
      document.setIn(["spec", "backends", 0, "weight"], weights.v1);
      document.setIn(["spec", "backends", 1, "weight"], weights.v2);
      // Renamed into place, so that nobody reads half a file.
      writeFileSync(join(folder, "split.new"), document.toString());
      renameSync(join(folder, "split.new"), split);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
