/** The command tree of `nginx-meshctl`. */
import { Command } from "commander";

import { completionCommand } from "./completion.ts";
import { configCommand } from "./config.ts";
import { deployCommand } from "./deploy.ts";
import { addGlobalOptions } from "./global-options.ts";
import { injectCommand } from "./inject.ts";
import { localCommand } from "./local.ts";
import { removeCommand } from "./remove.ts";
import { servicesCommand } from "./services.ts";
import { statusCommand } from "./status.ts";
import { supportpkgCommand } from "./supportpkg.ts";
import { topCommand } from "./top.ts";
import { upgradeCommand } from "./upgrade.ts";
import { validateCommand } from "./validate.ts";
import { versionCommand } from "./version.ts";

/** Where text goes; results and everything else apart. */
export interface Output {
  readonly print: (text: string) => void;
  readonly warn: (text: string) => void;
}

export function createProgram(output: Output): Command {
  const program = addGlobalOptions(new Command("nginx-meshctl"))
    .description("Controls NGINX service meshes.")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: true })
    .addHelpText(
      "after",
      "\nExit status: 0 done and well, 1 done but what was found is not well, 2 not done (usage, no mesh, no answer).",
    );
  const commands = [
    completionCommand(output.print),
    configCommand(output),
    deployCommand(output),
    injectCommand(output),
    localCommand(output),
    removeCommand(output),
    servicesCommand(output),
    statusCommand(output),
    supportpkgCommand(output),
    topCommand(output),
    upgradeCommand(output),
    validateCommand(output),
    versionCommand(output),
  ];
  for (const command of commands) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  return program;
}
