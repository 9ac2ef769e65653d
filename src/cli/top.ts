/** `top`: success rates, latencies and counts of the last 30 seconds. */
import { Argument, Command } from "commander";

import { type ResourceKinds, resourceKinds } from "../metrics/traffic.ts";
import { type ControllerClient, controllerClient } from "./controller-client.ts";
import { CommandError } from "./errors.ts";
import { globalOptions, type OutputFormat, outputOption } from "./global-options.ts";
import type { Output } from "./program.ts";
import { edgesTable, resourcesTable, type TopEdges, type TopResources } from "./top-text.ts";

const shortNames: ReadonlyMap<string, ResourceKinds> = new Map([
  ["po", "pods"],
  ["pod", "pods"],
  ["deploy", "deployments"],
  ["deployment", "deployments"],
  ["sts", "statefulsets"],
  ["statefulset", "statefulsets"],
  ["ds", "daemonsets"],
  ["daemonset", "daemonsets"],
  ["ns", "namespaces"],
  ["namespace", "namespaces"],
]);

export interface TopTarget {
  readonly kinds: ResourceKinds;
  readonly name?: string;
}

/** `deployments`, `deploy/web`, `pod/web-1`; throws CommandError for another kind. */
export function parseTarget(text: string): TopTarget {
  const [kind = "", name, ...rest] = text.split("/");
  const lower = kind.toLowerCase();
  const kinds = Object.hasOwn(resourceKinds, lower) ? (lower as ResourceKinds) : shortNames.get(lower);
  if (kinds === undefined || rest.length > 0 || name === "") {
    throw new CommandError(
      `top: "${text}" is not a kind or kind/name; kinds are ${Object.keys(resourceKinds).join(", ")}`,
    );
  }
  return name === undefined ? { kinds } : { kinds, name };
}

/** Namespaces with traffic, for whoever asked about another one. */
async function elsewhere(client: ControllerClient, namespace: string): Promise<string> {
  const top = (await client.get("/top?kind=namespaces")) as TopResources;
  const others = top.resources.map((row) => row.resource.name).filter((name) => name !== namespace);
  return others.length === 0 ? "" : `; there was in ${others.join(", ")} (choose with -n)`;
}

async function nothing(
  client: ControllerClient,
  target: TopTarget,
  namespace: string,
  window: number,
): Promise<string> {
  const what = target.name === undefined ? target.kinds : `${target.kinds} ${target.name}`;
  if (target.kinds === "namespaces") {
    return `No traffic of ${what} in the last ${window} s.\n`;
  }
  const hint = await elsewhere(client, namespace);
  return `No traffic of ${what} in namespace ${namespace} in the last ${window} s${hint}.\n`;
}

/** What the command prints; throws CommandError. */
export async function topText(
  client: ControllerClient,
  target: TopTarget,
  namespace: string,
  output: OutputFormat,
): Promise<string> {
  const query = new URLSearchParams({ kind: target.kinds, namespace });
  if (target.name !== undefined) {
    query.set("name", target.name);
  }
  const answer = (await client.get(`/top?${query.toString()}`)) as TopResources | TopEdges;
  if (output === "json") {
    return `${JSON.stringify(answer, undefined, 2)}\n`;
  }
  const rows = "edges" in answer ? answer.edges : answer.resources;
  if (rows.length === 0) {
    return nothing(client, target, namespace, answer.window);
  }
  return "edges" in answer ? edgesTable(answer) : resourcesTable(answer);
}

export function topCommand(output: Output): Command {
  return new Command("top")
    .summary("traffic of the last 30 seconds")
    .description(
      "Shows success rates, latencies and the number of requests (of connections for TCP) in the last 30 seconds. With -n, of another namespace than default.",
    )
    .addArgument(
      new Argument("[kind[/name]]", "pods, deployments, statefulsets, daemonsets or namespaces").default(
        "deployments",
      ),
    )
    .addOption(outputOption())
    .action(async (text: string, options: { output: OutputFormat }, command: Command) => {
      const target = parseTarget(text);
      const isDefault = command.parent?.getOptionValueSource("namespace") === "default";
      const namespace = isDefault ? "default" : globalOptions(command).namespace;
      output.print(await topText(await controllerClient(command, output), target, namespace, options.output));
    });
}
