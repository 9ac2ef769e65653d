/** The kinds of the mesh in a cluster: Helm makes those that are missing and never touches them again, so this does. */
import { setTimeout as sleep } from "node:timers/promises";

import * as z from "zod";

import { CommandError } from "./errors.ts";
import { jsonIfThere, type KubeClient } from "./kube-client.ts";
import { objectOf } from "./kube-objects.ts";
import type { Output } from "./program.ts";

const crd = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    labels: z.record(z.string(), z.string()).optional(),
    managedFields: z.array(z.looseObject({ manager: z.string().optional() })).optional(),
  }),
  spec: z.looseObject({
    group: z.string(),
    names: z.looseObject({ plural: z.string() }),
    versions: z.array(z.looseObject({ name: z.string(), served: z.boolean() })),
  }),
});

type Crd = z.infer<typeof crd>;

/** The kinds of a chart, from a JSON list of CustomResourceDefinitions. Throws CommandError when the text is none. */
export function parseCrds(text: string): readonly Crd[] {
  const result = z.array(crd).safeParse(JSON.parse(text));
  if (!result.success) {
    throw new CommandError(
      `a CustomResourceDefinition of the chart is not understood: ${z.prettifyError(result.error)}`,
    );
  }
  return result.data;
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

const fieldManager = "nginx-meshctl";

/** Whether a kind that is installed is another SPIRE's: then that knows best what its objects need. Pure. */
export function isForeign({ metadata, spec }: Crd): boolean {
  const { labels, managedFields } = metadata;
  return (
    spec.group === "spire.spiffe.io" &&
    labels?.["app.kubernetes.io/part-of"] !== "nginx-mesh" &&
    managedFields?.some(({ manager }) => manager === fieldManager) !== true
  );
}

const base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/** Brings the kinds of the cluster to what the chart has. Throws CommandError. */
export async function applyCrds(client: KubeClient, wanted: readonly Crd[], output: Output): Promise<void> {
  let applied = 0;
  for (const one of wanted) {
    const { name } = one.metadata;
    const answer = await jsonIfThere(client, `${base}/${name}`);
    const installed = answer === undefined ? undefined : objectOf(crd, answer, `the kind ${name}`);
    if (installed !== undefined && isForeign(installed)) {
      output.warn(`  kinds       ${name} is left as it is: another SPIRE has brought it\n`);
      continue;
    }
    const { apply, newer } = crdStep(one, installed);
    if (!apply) {
      output.warn(
        `  kinds       ${name} is left as it is: the cluster has newer versions of it (${newer.join(", ")})\n`,
      );
      continue;
    }
    await client.text({
      method: "PATCH",
      path: `${base}/${name}?fieldManager=${fieldManager}&force=true`,
      body: one,
      contentType: "application/apply-patch+yaml",
    });
    applied += 1;
  }
  await untilServed(client, wanted);
  output.print(`  kinds       ${applied} CustomResourceDefinitions are up to date\n`);
}

/** Discovery as helm reads it (Kubernetes KEP 3352); it learns of a kind a moment after the API server serves it. */
const aggregated =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;q=0.9";

const groups = z.object({
  items: z
    .array(
      z.object({
        metadata: z.object({ name: z.string() }),
        versions: z.array(
          z.object({ version: z.string(), resources: z.array(z.object({ resource: z.string() })).nullish() }),
        ),
      }),
    )
    .optional(),
});

/** Throws CommandError when the API server does not serve the kinds within the client's time. */
async function untilServed(client: KubeClient, kinds: readonly Crd[]): Promise<void> {
  const wanted = kinds.flatMap(({ spec }) =>
    spec.versions
      .filter(({ served }) => served)
      .map(({ name }) => `${spec.names.plural}.${name}.${spec.group}`),
  );
  for (;;) {
    const answer = objectOf(groups, await client.json({ path: "/apis", accept: aggregated }), "its kinds");
    const served = new Set(
      answer.items?.flatMap(({ metadata, versions }) =>
        versions.flatMap(
          ({ version, resources }) =>
            resources?.map(({ resource }) => `${resource}.${version}.${metadata.name}`) ?? [],
        ),
      ),
    );
    const missing = wanted.filter((one) => !served.has(one));
    // an API server that is too old for this discovery has no items; there helm waits by itself
    if (missing.length === 0 || answer.items === undefined) {
      return;
    }
    if (client.left() <= 1000) {
      throw new CommandError(
        `${client.cluster.name} does not serve ${missing.join(", ")} in time; "kubectl describe crd" says why`,
      );
    }
    await sleep(100);
  }
}
