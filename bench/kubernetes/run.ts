/**
 * `make bench-kubernetes`: what the mesh costs on a cluster (KUBECONFIG, or that of `make cluster`) with twenty meshed pods. Prints
 * a table and puts it into docs/benchmarks.md.
 */
import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import { app } from "../../test/kubernetes/app.ts";
import { inNamespace, until, type Namespace } from "../../test/kubernetes/fixture.ts";
import { injected, installMesh, uninstallMesh } from "../../test/kubernetes/mesh.ts";
import { replaceSection } from "../document.ts";
import { figureTable, type Figure } from "../figures.ts";
import { machine } from "../machine.ts";
import { sidecarRoot } from "../systems/plain.ts";
import { openApi, type Api } from "./api.ts";
import { measureEndpoints } from "./endpoints.ts";
import { measureRest } from "./rest.ts";
import { measureStarts, measureWebhook } from "./starts.ts";

const podCount = 20;

function progress(text: string): void {
  console.log(`  bench     ${text}`);
}

async function measure(api: Api, namespace: Namespace): Promise<readonly Figure[]> {
  progress(`${podCount} meshed pods`);
  const two = ["one", "two"].flatMap((name) => app({ name }));
  await namespace.apply(...two, ...app({ name: "other", replicas: podCount - 2 }));
  await namespace.ready("deployment/one", "deployment/two", "deployment/other");
  progress("at rest");
  const rest = await measureRest(api, namespace.name);
  progress("the webhook");
  const webhook = await measureWebhook(api, namespace.name);
  progress("endpoints");
  const targets = await Promise.all(
    ["one", "two"].map((name) =>
      until(`the address of ${name}`, 10, async () => {
        const [pod] = await namespace.pods(`app=${name}`);
        return pod === undefined
          ? undefined
          : { name: pod.metadata.name, address: pod["status"].podIP as string };
      }),
    ),
  );
  const endpoints = await measureEndpoints(api, namespace, targets);
  progress("starts of pods");
  return [...rest, webhook, ...endpoints, ...(await measureStarts(api, namespace.name))];
}

await installMesh();
const api = await openApi();
try {
  await inNamespace(injected, async (namespace) => {
    const table = figureTable(await measure(api, namespace));
    console.log(`\n${table}\n`);
    const file = join(import.meta.dirname, "../../docs/benchmarks.md");
    const text = `${machine(new Date(), sidecarRoot)}\n\n${table}`;
    writeFileSync(file, replaceSection(readFileSync(file, "utf8"), "kubernetes", text));
  });
} finally {
  api.close();
  await uninstallMesh();
}
