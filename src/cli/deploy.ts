/** `deploy`: installs the control plane, or changes the settings of one that is installed. */
import { Command } from "commander";

import { version } from "../controller/version.ts";
import { connectCluster } from "./connect-cluster.ts";
import { deployFlags } from "./deploy-flags.ts";
import { deployValues, type GivenFlags } from "./deploy-values.ts";
import { findHelm } from "./helm.ts";
import { globalOptions, timeoutOf } from "./global-options.ts";
import { ensureNamespace, install, installedRelease, refuseSecond, settled } from "./install.ts";
import { type KubeClient, withTimeout } from "./kube-client.ts";
import { itemsOf, objectSchema } from "./kube-objects.ts";
import type { Output } from "./program.ts";
import { untilReady } from "./rollout.ts";

/** Milliseconds that a deployment gets. */
export const deployTimeout = 300_000;

const defaultClass = "storageclass.kubernetes.io/is-default-class";

/** `on` when the cluster makes volumes by itself, with what it does so. Throws CommandError. */
async function storageOf(
  client: KubeClient,
): Promise<{ readonly mode: "on" | "off"; readonly because: string }> {
  const answer = await client.json({ path: "/apis/storage.k8s.io/v1/storageclasses" });
  const classes = itemsOf(objectSchema, answer, "storage classes");
  const found = classes.find(({ metadata }) => metadata.annotations[defaultClass] === "true");
  return found === undefined
    ? { mode: "off", because: "the cluster has no default storage class" }
    : { mode: "on", because: `storage class ${found.metadata.name}` };
}

/** The flags that the user gave, by name. */
function givenFlags(command: Command): GivenFlags {
  const names = deployFlags.map(({ option }) => option.attributeName());
  const options = command.opts();
  return Object.fromEntries(
    names.filter((name) => options[name] !== undefined).map((name) => [name, options[name] as unknown]),
  );
}

async function storageFor(
  client: KubeClient,
  given: GivenFlags,
  first: boolean,
  output: Output,
): Promise<"on" | "off" | undefined> {
  const wanted = given.persistentStorage ?? (first ? "auto" : undefined);
  if (wanted !== "auto") {
    return wanted;
  }
  const { mode, because } = await storageOf(client);
  output.print(`  storage     ${mode}: ${because}\n`);
  return mode;
}

async function deploy(command: Command, output: Output): Promise<void> {
  const options = globalOptions(command);
  const given = givenFlags(command);
  // what is wrong with flags and their files is said before anything is asked
  deployValues(given, undefined);
  const helm = await findHelm();
  const reached = await connectCluster(options, output);
  const client = withTimeout(reached, timeoutOf(command, deployTimeout));
  const { namespace } = options;
  output.print(`mesh ${version} in namespace ${namespace} of ${client.cluster.name}\n`);
  await refuseSecond(client, namespace);
  const { controller, release } = await installedRelease(client, namespace);
  await ensureNamespace(client, namespace);
  const installation = { client, namespace, helm, output };
  const before = await settled(installation, release);
  const storage = await storageFor(client, given, before === undefined, output);
  const revision = await install(installation, release, deployValues(given, storage));
  output.print(`  release     ${release}, revision ${revision} (helm ${helm.version})\n`);
  await untilReady(client, namespace, output);
  output.print(
    controller === undefined
      ? `ready; pods of a namespace join the mesh when it is labelled and they are made anew:\n  kubectl label namespace NAME injector.nsm.nginx.com/auto-inject=enabled\n`
      : "ready; settings that were not given are as before\n",
  );
}

export function deployCommand(output: Output): Command {
  const command = new Command("deploy")
    .summary("install the mesh in a cluster")
    .description(
      "Installs the control plane with helm, or changes the settings of one that is installed: those that are not given stay as they are. Waits until it runs, for 5m unless --timeout says otherwise.",
    );
  for (const { option } of deployFlags) {
    command.addOption(option);
  }
  return command.action(async () => deploy(command, output));
}
