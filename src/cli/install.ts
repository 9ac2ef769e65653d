/** Installing and upgrading: one release of the chart, of Helm's own form, so that helm itself goes on with it. */
import { chartKindsText, withChart } from "./chart-file.ts";
import { controllerDeployment, meshNamespaces } from "./cluster-mesh.ts";
import { applyCrds, parseCrds } from "./crds.ts";
import { replacing, upstreamAuthority, valueAt, type Values, withValue } from "./deploy-values.ts";
import { CommandError } from "./errors.ts";
import { type Helm, runHelm } from "./helm.ts";
import { jsonIfThere, type KubeClient } from "./kube-client.ts";
import type { Workload } from "./kube-objects.ts";
import type { Output } from "./program.ts";
import { withNotice } from "./progress.ts";
import { releaseOf, type ReleaseRecord, releaseRecords, settleRelease } from "./release.ts";
import { findRelease, removeRelease } from "./release-removal.ts";

/** A label of namespaces that `deploy` has made, and that `remove` so may delete. */
export const madeByUs = { key: "app.kubernetes.io/managed-by", value: "nginx-meshctl" } as const;

export interface Installation {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly helm: Helm;
  readonly output: Output;
}

/** Throws CommandError when the cluster has a mesh elsewhere: its webhooks and identities are for all of the cluster. */
export async function refuseSecond(client: KubeClient, namespace: string): Promise<void> {
  const others = (await meshNamespaces(client))?.filter((name) => name !== namespace) ?? [];
  if (others.length > 0) {
    throw new CommandError(
      `${client.cluster.name} has a mesh in namespace ${others.join(", ")} already, and two would both inject and identify the same pods; "nginx-meshctl remove --namespace ${others[0]}" removes it`,
    );
  }
}

/** Makes the namespace when it is missing. SPIRE's agent mounts folders of its node, which only privileged pods may. */
export async function ensureNamespace(client: KubeClient, namespace: string): Promise<void> {
  if ((await jsonIfThere(client, `/api/v1/namespaces/${namespace}`)) !== undefined) {
    return;
  }
  const labels = { [madeByUs.key]: madeByUs.value, "pod-security.kubernetes.io/enforce": "privileged" };
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } };
  await client.text({ method: "POST", path: "/api/v1/namespaces", body });
}

/** What an earlier deployment has left, mended where it was interrupted. Throws CommandError. */
export async function settled(
  { client, namespace, output }: Installation,
  release: string,
): Promise<ReleaseRecord | undefined> {
  const before = await settleRelease(client, namespace, release, output);
  if (before?.status !== "uninstalling") {
    return before;
  }
  output.print("  release     an interrupted removal is finished first\n");
  await removeRelease(client, await findRelease(client, namespace));
  return undefined;
}

/** What the user has set of the release that helm goes on from: the newest that was deployed, else the newest. */
async function valuesBefore({ client, namespace, helm }: Installation, release: string): Promise<unknown> {
  const records = await releaseRecords(client, namespace, release);
  const before = records.find(({ status }) => status === "deployed") ?? records[0];
  if (before === undefined) {
    return {};
  }
  const args = ["get", "values", release, "--namespace", namespace, "--revision", String(before.revision)];
  const timeout = Math.floor(client.left());
  return JSON.parse(await runHelm(helm, client.cluster, [...args, "--output", "json"], { timeout }));
}

/** Another authority replaces the former as a whole; all else is helm's to merge. */
async function mergeable(installation: Installation, release: string, values: Values): Promise<Values> {
  const authority = valueAt(values, upstreamAuthority) as Values | undefined;
  if (authority === undefined) {
    return values;
  }
  const before = valueAt(await valuesBefore(installation, release), upstreamAuthority);
  return withValue(values, upstreamAuthority, replacing(before, authority));
}

/** Installs, or changes what is installed: values that are not given stay as the user has set them before. */
export async function install(installation: Installation, release: string, values: Values): Promise<number> {
  const { client, namespace, helm, output } = installation;
  await applyCrds(client, parseCrds(chartKindsText()), output);
  const input = JSON.stringify(await mergeable(installation, release, values));
  return withChart(async (chart) => {
    const flags = ["--install", "--reset-then-reuse-values", "--namespace", namespace, "--values", "-"];
    const args = ["upgrade", release, chart, ...flags, "--skip-crds", "--output", "json"];
    const run = runHelm(helm, client.cluster, [...args, "--timeout", seconds(client.left())], {
      input,
      timeout: Math.floor(client.left()) + 5000,
    });
    const printed = await withNotice(output, `helm writes the objects of release ${release}`, run);
    const { version } = JSON.parse(printed) as { readonly version?: unknown };
    return Number(version);
  });
}

function seconds(milliseconds: number): string {
  return `${Math.max(1, Math.floor(milliseconds / 1000))}s`;
}

/** The controller of the namespace, and the release that it belongs to. Throws CommandError. */
export async function installedRelease(
  client: KubeClient,
  namespace: string,
): Promise<{ readonly controller: Workload | undefined; readonly release: string }> {
  const controller = await controllerDeployment(client, namespace);
  return { controller, release: releaseOf(controller) };
}
