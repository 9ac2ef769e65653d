/** `config`: the whole configuration of the mesh. */
import { Command } from "commander";

import { controllerClient } from "./controller-client.ts";
import { outputOption } from "./global-options.ts";

export function configCommand(print: (text: string) => void): Command {
  return new Command("config")
    .summary("the whole configuration of the mesh, as JSON")
    .description("Prints the configuration that the controller has compiled, by key, as JSON.")
    .addOption(outputOption().default("json"))
    .action(async (_options: object, command: Command) => {
      const client = await controllerClient(command);
      print(`${JSON.stringify(await client.get("/config"), undefined, 2)}\n`);
    });
}
