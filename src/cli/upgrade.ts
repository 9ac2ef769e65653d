/** `upgrade`: brings an installed mesh to the version of this tool, with the user's settings. */
import { Command } from "commander";

import { version } from "../controller/version.ts";
import { confirm } from "./confirm.ts";
import { connectCluster } from "./connect-cluster.ts";
import { meshNamespaceOf } from "./controller-client.ts";
import { deployTimeout } from "./deploy.ts";
import { CommandError } from "./errors.ts";
import { globalOptions, timeoutOf } from "./global-options.ts";
import { findHelm } from "./helm.ts";
import { install, installedRelease, settled } from "./install.ts";
import { withTimeout } from "./kube-client.ts";
import type { Output } from "./program.ts";
import { untilReady } from "./rollout.ts";

async function upgrade(command: Command, yes: boolean, output: Output): Promise<void> {
  const options = globalOptions(command);
  const helm = await findHelm();
  const reached = await connectCluster(options, output);
  const namespace = await meshNamespaceOf(command, reached);
  const client = withTimeout(reached, timeoutOf(command, deployTimeout));
  const { controller, release } = await installedRelease(client, namespace);
  const installation = { client, namespace, helm, output };
  const before = controller === undefined ? await settled(installation, release) : undefined;
  if (controller === undefined && before === undefined) {
    throw new CommandError(
      `no mesh is installed in namespace ${namespace} of ${client.cluster.name}; "nginx-meshctl deploy" installs one`,
    );
  }
  await confirm(
    yes,
    `The control plane in namespace ${namespace} of ${client.cluster.name} is brought to version ${version}; traffic goes on.`,
    output,
  );
  if ((await settled(installation, release)) === undefined) {
    throw new CommandError(
      `the release ${release} in namespace ${namespace} has no record, so the settings to keep are not known: an interrupted removal that was finished now takes it along; "nginx-meshctl deploy" with your flags installs the mesh again`,
    );
  }
  const revision = await install(installation, release, {});
  output.print(`  release     ${release}, revision ${revision} (helm ${helm.version})\n`);
  await untilReady(client, namespace, output);
  output.print(
    `ready; sidecars are of the new version when their pods are made anew: kubectl rollout restart deployment NAME\n`,
  );
}

export function upgradeCommand(output: Output): Command {
  const command = new Command("upgrade")
    .summary("bring the mesh to the version of this tool")
    .description(
      "Upgrades the control plane and its kinds; the user's settings stay. Waits until it runs, for 5m unless --timeout says otherwise.",
    )
    .option("-y, --yes", "do not ask");
  return command.action(async (options: { yes?: boolean }) => upgrade(command, options.yes === true, output));
}
