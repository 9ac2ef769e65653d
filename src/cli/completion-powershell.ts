/** The completion script for PowerShell. */
import type { CompletionTree } from "./completion-tree.ts";

/** PowerShell doubles a single quote inside single quotes. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function list(texts: readonly string[]): string {
  return `@(${texts.map(quote).join(", ")})`;
}

export function powershell(tree: CompletionTree): string {
  const nodes = tree.nodes.map((node) => {
    const words = [...node.subcommands.map((word) => word.text), ...node.values];
    const options = node.options.map((option) => option.flags.at(-1) ?? "");
    return `    ${quote(node.path)} = @{ Words = ${list(words)}; Options = ${list(options)} }`;
  });
  const values = tree.nodes.flatMap((node) =>
    node.options
      .filter((option) => option.takesValue)
      .flatMap((option) =>
        option.flags.map((flag) => `  $values[${quote(`${node.path}|${flag}`)}] = ${list(option.values)}`),
      ),
  );
  return `# PowerShell completion for ${tree.program}; use: ${tree.program} completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName ${quote(tree.program)} -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $nodes = @{
${nodes.join("\n")}
  }
  # Options may differ by case only, which an ordinary hash table does not see.
  $values = [System.Collections.Hashtable]::new([System.StringComparer]::Ordinal)
${values.join("\n")}
  $path = ''
  $value = $null
  $elements = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
  foreach ($word in $elements) {
    if ($null -ne $value) { $value = $null; continue }
    if ($values.ContainsKey("$path|$word")) { $value = "$path|$word"; continue }
    if ($word.StartsWith('-')) { continue }
    $next = "$path $word".Trim()
    if ($nodes.ContainsKey($next)) { $path = $next }
  }
  $candidates = if ($null -ne $value) { $values[$value] }
    elseif ($wordToComplete.StartsWith('-')) { $nodes[$path].Options }
    else { $nodes[$path].Words }
  $candidates | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`;
}
