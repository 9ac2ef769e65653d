/** The kinds of the mesh in a cluster: Helm makes those that are missing and never touches them again, so this does. */
import { parseAllDocuments } from "yaml";
import * as z from "zod";

import { CommandError } from "./errors.ts";
import { jsonIfThere, type KubeClient } from "./kube-client.ts";
import { objectOf } from "./kube-objects.ts";
import type { Output } from "./program.ts";

const crd = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({ versions: z.array(z.looseObject({ name: z.string() })) }),
});

type Crd = z.infer<typeof crd>;

/** The kinds of a chart. Throws CommandError when the text is none. */
export function parseCrds(text: string): readonly Crd[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as unknown)
    .filter((value) => value !== null && value !== undefined)
    .map((value) => {
      const result = crd.safeParse(value);
      if (!result.success) {
        throw new CommandError(
          `a CustomResourceDefinition of the chart is not understood: ${z.prettifyError(result.error)}`,
        );
      }
      return result.data;
    });
}

/** What is to be done about a kind; a newer one stays, as its objects may use what this chart does not know. Pure. */
export function crdStep(
  wanted: Crd,
  installed: Crd | undefined,
): { readonly apply: boolean; readonly newer: readonly string[] } {
  const names = (of: Crd | undefined): string[] => of?.spec.versions.map(({ name }) => name) ?? [];
  const known = new Set(names(wanted));
  const newer = names(installed).filter((name) => !known.has(name));
  const has = new Set(names(installed));
  return { apply: newer.length === 0 || names(wanted).some((name) => !has.has(name)), newer };
}

const base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/** Brings the kinds of the cluster to what the chart has. Throws CommandError. */
export async function applyCrds(client: KubeClient, wanted: readonly Crd[], output: Output): Promise<void> {
  let applied = 0;
  for (const one of wanted) {
    const { name } = one.metadata;
    const answer = await jsonIfThere(client, `${base}/${name}`);
    const installed = answer === undefined ? undefined : objectOf(crd, answer, `the kind ${name}`);
    const { apply, newer } = crdStep(one, installed);
    if (!apply) {
      output.warn(
        `  kinds       ${name} is left as it is: the cluster has newer versions of it (${newer.join(", ")})\n`,
      );
      continue;
    }
    await client.text({
      method: "PATCH",
      path: `${base}/${name}?fieldManager=nginx-meshctl&force=true`,
      body: one,
      contentType: "application/apply-patch+yaml",
    });
    applied += 1;
  }
  output.print(`  kinds       ${applied} CustomResourceDefinitions are up to date\n`);
}
