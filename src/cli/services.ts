/** `services`: the Services of the mesh and where their requests go. */
import { Command } from "commander";

import { controllerClient } from "./controller-client.ts";
import { type OutputFormat, outputOption } from "./global-options.ts";
import type { Output } from "./program.ts";
import { table } from "./table.ts";

/** As the controller answers `/services`. */
export interface ServiceView {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly ports: readonly {
    readonly port: number;
    readonly protocol: string;
    /** Where requests go instead of to the upstreams. */
    readonly backends?: readonly { readonly name: string; readonly weight: number }[];
    readonly upstreams: readonly {
      readonly address: string;
      readonly port: number;
      readonly pod: string;
      readonly meshed: boolean;
    }[];
  }[];
}

/** Those with a pod that has a sidecar. */
export function meshedServices(services: readonly ServiceView[]): ServiceView[] {
  return services.filter((service) =>
    service.ports.some((port) => port.upstreams.some((upstream) => upstream.meshed)),
  );
}

function rows(service: ServiceView): string[][] {
  const name = `${service.namespace}/${service.name}`;
  return service.ports.flatMap((port) => {
    const split = port.backends?.map((backend) => `${backend.name}:${backend.weight}`).join(" ") ?? "";
    return port.upstreams.map((upstream) => [
      name,
      String(port.port),
      port.protocol,
      upstream.address,
      String(upstream.port),
      upstream.pod,
      split,
    ]);
  });
}

/** One line an upstream. */
export function servicesTable(services: readonly ServiceView[]): string {
  return table(["Service", "Port", "Protocol", "Upstream", "Port", "Pod", "Split"], services.flatMap(rows));
}

export function servicesCommand(output: Output): Command {
  return new Command("services")
    .summary("Services of the mesh with their upstreams")
    .description(
      "Lists the Services whose pods have a sidecar, with the addresses and ports of their upstreams, and to which Services a TrafficSplit sends their requests instead.",
    )
    .addOption(outputOption())
    .action(async (options: { output: OutputFormat }, command: Command) => {
      const client = await controllerClient(command, output);
      const services = meshedServices((await client.get("/services")) as ServiceView[]);
      if (options.output === "json") {
        output.print(`${JSON.stringify(services, undefined, 2)}\n`);
      } else if (services.length === 0) {
        output.print("No Service has a pod in the mesh.\n");
      } else {
        output.print(servicesTable(services));
      }
    });
}
