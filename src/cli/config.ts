/** `config`: the whole configuration of the mesh. */
import { Command } from "commander";

import { controllerClient } from "./controller-client.ts";
import { outputOption } from "./global-options.ts";
import type { Output } from "./program.ts";

export function configCommand(output: Output): Command {
  return new Command("config")
    .summary("the whole configuration of the mesh, as JSON")
    .description("Prints the configuration that the controller has compiled, by key, as JSON.")
    .addOption(outputOption().default("json"))
    .action(async (_options: object, command: Command) => {
      const client = await controllerClient(command, output);
      output.print(`${JSON.stringify(await client.get("/config"), undefined, 2)}\n`);
    });
}
