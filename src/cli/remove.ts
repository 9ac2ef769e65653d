/** `remove`: takes the control plane out of a cluster, also one that was installed by halves. */
import { setTimeout as sleep } from "node:timers/promises";

import { Command, Option } from "commander";

import { pullSecretName } from "../controller/kubernetes/pull-secrets.ts";
import { injectedPods } from "./cluster-status.ts";
import { confirm } from "./confirm.ts";
import { connectCluster } from "./connect-cluster.ts";
import { meshNamespaceOf } from "./controller-client.ts";
import { CommandError } from "./errors.ts";
import { globalOptions, timeoutOf } from "./global-options.ts";
import { madeByUs } from "./install.ts";
import { jsonIfThere, type KubeClient, withTimeout } from "./kube-client.ts";
import { itemsOf, objectOf, objectSchema, podSchema } from "./kube-objects.ts";
import type { Output } from "./program.ts";
import { withNotice } from "./progress.ts";
import { metadataOnly } from "./release.ts";
import { deleteIfThere } from "./release-objects.ts";
import { findRelease, removeRelease } from "./release-removal.ts";
import { remainsText } from "./remove-text.ts";

/** Milliseconds that a removal gets. */
const removeTimeout = 120_000;

const ownPods = encodeURIComponent("app.kubernetes.io/part-of=nginx-mesh");

/** The pods of the control plane end. Throws CommandError when they do not. */
async function untilGone(client: KubeClient, namespace: string, output: Output): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${ownPods}`;
  let said = Date.now();
  for (;;) {
    const pods = itemsOf(podSchema, await client.json({ path }), "pods");
    const names = pods.map((pod) => pod.metadata.name).join(", ");
    if (pods.length === 0) {
      return;
    }
    if (client.left() <= 2000) {
      throw new CommandError(
        `the objects of the mesh are deleted, but pods of namespace ${namespace} do not end: ${names}; run this command again, or look at their nodes`,
      );
    }
    if (Date.now() - said > 10_000) {
      said = Date.now();
      output.warn(`waiting for pods to end: ${names} ...\n`);
    }
    await sleep(500);
  }
}

/** Deletes the namespace when `deploy` has made it. Whether it did. */
async function removeNamespace(client: KubeClient, namespace: string): Promise<boolean> {
  const path = `/api/v1/namespaces/${namespace}`;
  const answer = await jsonIfThere(client, path);
  if (answer === undefined) {
    return true;
  }
  const { metadata } = objectOf(objectSchema, answer, `namespace ${namespace}`);
  return metadata.labels[madeByUs.key] === madeByUs.value && deleteIfThere(client, path);
}

/** SPIRE's volume claims are made by its StatefulSet, and stay with their data. */
async function claimsOf(client: KubeClient, namespace: string): Promise<readonly string[]> {
  const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims`;
  const claims = itemsOf(objectSchema, await client.json({ path }), "volume claims");
  return claims.map(({ metadata }) => metadata.name).filter((name) => name.includes("spire-server"));
}

/** Namespaces that the controller has given the registry's credentials. */
async function credentialsOf(client: KubeClient): Promise<readonly string[]> {
  const selectors = new URLSearchParams({
    labelSelector: "app.kubernetes.io/managed-by=nginx-mesh-controller",
    fieldSelector: `metadata.name=${pullSecretName}`,
  });
  const path = `/api/v1/secrets?${selectors}`;
  const secrets = itemsOf(objectSchema, await client.json({ path, accept: metadataOnly }), "Secrets");
  return secrets.map(({ metadata }) => metadata.namespace).sort();
}

async function remove(command: Command, yes: boolean, output: Output): Promise<void> {
  const reached = await connectCluster(globalOptions(command), output);
  const namespace = await meshNamespaceOf(command, reached);
  const client = withTimeout(reached, timeoutOf(command, removeTimeout));
  const where = `namespace ${namespace} of ${client.cluster.name}`;
  const found = await withNotice(
    output,
    `looking for the objects of the mesh in ${where}`,
    findRelease(client, namespace),
  );
  if (found.records.length === 0 && found.objects.length === 0) {
    throw new CommandError(`there is nothing of a mesh in ${where}; --namespace names another place`);
  }
  const pods = await injectedPods(client);
  await confirm(
    yes,
    `The control plane in ${where} is removed (${found.objects.length} objects). ${pods.length} pods have a sidecar and keep it.`,
    output,
  );
  const later = withTimeout(reached, timeoutOf(command, removeTimeout));
  await removeRelease(later, found);
  await untilGone(later, namespace, output);
  output.print(`removed ${found.objects.length} objects of the mesh in ${where}\n`);
  const namespaces = itemsOf(objectSchema, await later.json({ path: "/api/v1/namespaces" }), "namespaces");
  const gone = await removeNamespace(later, namespace);
  const claims = gone ? [] : await claimsOf(later, namespace);
  const credentials = await credentialsOf(later);
  output.print(
    remainsText({ pods, namespaces, namespace: gone ? undefined : namespace, claims, credentials }),
  );
}

export function removeCommand(output: Output): Command {
  const command = new Command("remove")
    .summary("take the mesh out of a cluster")
    .description(
      "Removes the control plane, also of a mesh that was installed by halves. Pods keep their sidecars, and the kinds of the mesh stay with their objects; what is left to do is said at the end.",
    )
    .option("-y, --yes", "do not ask")
    // of NGINX Service Mesh: there the objects differed; here all of them are found by their release
    .addOption(
      new Option("--environment <name>", "kind of cluster; needs not be said").choices([
        "kubernetes",
        "openshift",
      ]),
    );
  return command.action(async (options: { yes?: boolean }) => remove(command, options.yes === true, output));
}
