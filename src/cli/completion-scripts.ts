/**
 * Completion scripts. Each shell finds the command that the words before the cursor name, skipping options and their
 * values, and offers what may follow; where nothing is known it offers files.
 */
import type { CompletionNode, CompletionTree, Word } from "./completion-tree.ts";
import { powershell } from "./completion-powershell.ts";

export const shells = ["bash", "fish", "powershell", "zsh"] as const;
export type Shell = (typeof shells)[number];

/** For bash, zsh and fish: in single quotes, which need nothing else inside. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function entries(node: CompletionNode): Word[] {
  return [...node.subcommands, ...node.values.map((text) => ({ text, description: "" }))];
}

function flags(node: CompletionNode): Word[] {
  return node.options.map((option) => ({ text: option.flags.at(-1) ?? "", description: option.description }));
}

function texts(words: readonly Word[]): string {
  return words.map((word) => word.text).join(" ");
}

/** Names for shell functions hold no dashes. */
function functionName(tree: CompletionTree): string {
  return `_${tree.program.replaceAll("-", "_")}`;
}

/** `path|flag` of every option that takes a value, as all shells compare them. */
function valueFlags(
  tree: CompletionTree,
  values: "any" | "closed",
): { key: string; values: readonly string[] }[] {
  return tree.nodes.flatMap((node) =>
    node.options
      .filter((option) => (values === "any" ? option.takesValue : option.values.length > 0))
      .flatMap((option) =>
        option.flags.map((flag) => ({ key: `${node.path}|${flag}`, values: option.values })),
      ),
  );
}

/** Alternatives of a `case` of bash and zsh. */
function anyOf(keys: readonly string[]): string {
  return keys.map(quote).join("|");
}

function pathCases(tree: CompletionTree, line: (node: CompletionNode) => string): string {
  return tree.nodes.map((node) => `    ${quote(node.path)}) ${line(node)};;`).join("\n");
}

function valueCases(tree: CompletionTree, line: (values: string) => string): string {
  return valueFlags(tree, "closed")
    .map((option) => `    ${quote(option.key)}) ${line(option.values.join(" "))};;`)
    .join("\n");
}

function bash(tree: CompletionTree): string {
  const name = functionName(tree);
  const withValue = anyOf(valueFlags(tree, "any").map((option) => option.key));
  return `# bash completion for ${tree.program}; use: source <(${tree.program} completion bash)
${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} path= value= words= options= i next
  for ((i = 1; i < COMP_CWORD; i++)); do
    value=
    case "$path|\${COMP_WORDS[i]}" in
    ${withValue}) value="$path|\${COMP_WORDS[i]}"; ((++i));;
    *'|-'*) ;;
    *)
      next="\${path:+$path }\${COMP_WORDS[i]}"
      case $next in ${anyOf(tree.nodes.map((node) => node.path))}) path=$next;; esac;;
    esac
  done
  ((i == COMP_CWORD)) && value=
  COMPREPLY=()
  case $value in
${valueCases(tree, (values) => `COMPREPLY=($(compgen -W ${quote(values)} -- "$current")); return`)}
    ?*) return;;
  esac
  case $path in
${pathCases(tree, (node) => `words=${quote(texts(entries(node)))} options=${quote(texts(flags(node)))}`)}
  esac
  [[ $current == -* ]] && words=$options
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F ${name} ${tree.program}
`;
}

function described(words: readonly Word[]): string {
  return words.map((word) => quote(`${word.text.replaceAll(":", "\\:")}:${word.description}`)).join(" ");
}

function zsh(tree: CompletionTree): string {
  const name = functionName(tree);
  const withValue = anyOf(valueFlags(tree, "any").map((option) => option.key));
  return `#compdef ${tree.program}
# zsh completion for ${tree.program}; use: source <(${tree.program} completion zsh)
${name}() {
  local at= value= next= i
  local -a entries flags
  for ((i = 2; i < CURRENT; i++)); do
    value=
    case "$at|$words[i]" in
    ${withValue}) value="$at|$words[i]"; ((++i));;
    *'|-'*) ;;
    *)
      next="\${at:+$at }$words[i]"
      case $next in ${anyOf(tree.nodes.map((node) => node.path))}) at=$next;; esac;;
    esac
  done
  ((i == CURRENT)) && value=
  case $value in
${valueCases(tree, (values) => `compadd -- ${values}; return`)}
    ?*) _files; return;;
  esac
  case $at in
${pathCases(tree, (node) => `entries=(${described(entries(node))}) flags=(${described(flags(node))})`)}
  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe option flags
  elif (( $#entries )); then
    _describe command entries
  else
    _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  ${name} "$@"
else
  compdef ${name} ${tree.program}
fi
`;
}

function fish(tree: CompletionTree): string {
  const name = `__${functionName(tree).slice(1)}_path`;
  const lines = tree.nodes.flatMap((node) => {
    const start = `complete -c ${tree.program} -n ${quote(`test (${name}) = "${node.path}"`)}`;
    return [
      ...entries(node).map((word) => `${start} -f -a ${word.text} -d ${quote(word.description)}`),
      ...node.options.map((option) => {
        const spelled = option.flags.map((flag) =>
          flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
        );
        const closed = option.values.length > 0 ? ` -x -a ${quote(option.values.join(" "))}` : " -r";
        return `${start} ${spelled.join(" ")}${option.takesValue ? closed : ""} -d ${quote(option.description)}`;
      }),
    ];
  });
  return `# fish completion for ${tree.program}; use: ${tree.program} completion fish | source
function ${name}
  set -l path ''
  set -l skip 0
  set -l before (commandline -opc)
  for word in $before[2..-1]
    if test $skip = 1
      set skip 0
    else if contains -- "$path|$word" ${valueFlags(tree, "any")
      .map((option) => quote(option.key))
      .join(" ")}
      set skip 1
    else if not string match -q -- '-*' $word
      set -l next (string trim -- "$path $word")
      contains -- $next ${tree.nodes.map((node) => quote(node.path)).join(" ")}; and set path $next
    end
  end
  echo $path
end
${lines.join("\n")}
`;
}

const scripts: Readonly<Record<Shell, (tree: CompletionTree) => string>> = { bash, fish, powershell, zsh };

/** The script that a shell reads to complete the program's commands and options. */
export function completionScript(shell: Shell, tree: CompletionTree): string {
  return scripts[shell](tree);
}
