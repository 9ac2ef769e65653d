/** `completion`: scripts for shells, made from the command tree. */
import { Argument, Command } from "commander";

import { completionScript, type Shell, shells } from "./completion-scripts.ts";
import { completionTree } from "./completion-tree.ts";

export function completionCommand(print: (text: string) => void): Command {
  return new Command("completion")
    .summary("completion script for a shell")
    .description(
      'Prints a script that completes commands and options; its first lines say how to use it, as "source <(nginx-meshctl completion bash)".',
    )
    .addArgument(new Argument("<shell>", "the shell").choices(shells))
    .action((shell: Shell, _options: object, command: Command) => {
      const program = command.parent ?? command;
      print(completionScript(shell, completionTree(program)));
    });
}
