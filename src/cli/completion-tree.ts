/** What a shell can complete, taken from the command tree itself. */
import type { Command, Option } from "commander";

export interface Word {
  readonly text: string;
  readonly description: string;
}

export interface CompletionOption {
  /** Its spellings, the longest last. */
  readonly flags: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** Where the values are a closed list. */
  readonly values: readonly string[];
}

/** What may follow the words of one command. */
export interface CompletionNode {
  /** Names of subcommands below the program: empty for the program itself, `local up`. */
  readonly path: string;
  readonly subcommands: readonly Word[];
  /** Its own and the inherited ones. */
  readonly options: readonly CompletionOption[];
  /** Values of the arguments, where they are a closed list. */
  readonly values: readonly string[];
}

export interface CompletionTree {
  readonly program: string;
  readonly nodes: readonly CompletionNode[];
}

function completionOption(option: Option): CompletionOption {
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined),
    description: option.description,
    takesValue: option.required || option.optional,
    values: option.argChoices ?? [],
  };
}

/** A command's own option hides an inherited one of the same name. */
function merge(own: readonly CompletionOption[], inherited: readonly CompletionOption[]): CompletionOption[] {
  const taken = new Set(own.flatMap((option) => option.flags));
  return [...own, ...inherited.filter((option) => !option.flags.some((flag) => taken.has(flag)))];
}

function nodesBelow(
  command: Command,
  path: readonly string[],
  inherited: readonly CompletionOption[],
): CompletionNode[] {
  const help = command.createHelp();
  const visible = help.visibleCommands(command);
  const options = merge(help.visibleOptions(command).map(completionOption), inherited);
  const node: CompletionNode = {
    path: path.join(" "),
    subcommands: visible.map((child) => ({
      text: child.name(),
      description: child.summary() || child.description(),
    })),
    options,
    values: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  const deeper = visible
    .filter((child) => child.name() !== "help")
    .flatMap((child) => nodesBelow(child, [...path, child.name()], options));
  return [node, ...deeper];
}

/** Reads the tree below a program. */
export function completionTree(program: Command): CompletionTree {
  return { program: program.name(), nodes: nodesBelow(program, [], []) };
}
