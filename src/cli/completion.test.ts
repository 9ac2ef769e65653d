import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { test } from "node:test";

import { Argument, Command, Option } from "commander";

import { completionScript, type Shell, shells } from "./completion-scripts.ts";
import { completionTree } from "./completion-tree.ts";

function program(): Command {
  const local = new Command("local").description("a mesh on one machine");
  local.addCommand(
    new Command("up")
      .option("-f, --file <dir>", "folder")
      .option("--foreground", "it's not in the background"),
  );
  local.addCommand(new Command("logs").option("-f, --follow", "go on").argument("<pod>"));
  return new Command("meshctl")
    .option("-n, --namespace <name>", "namespace")
    .addCommand(local)
    .addCommand(
      new Command("top").addOption(new Option("-o, --output <format>", "format").choices(["text", "json"])),
    )
    .addCommand(new Command("completion").addArgument(new Argument("<shell>").choices(["bash", "zsh"])));
}

const script = (shell: Shell): string => completionScript(shell, completionTree(program()));

function has(name: string): boolean {
  return spawnSync(name, ["--version"]).error === undefined;
}

const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
  [["meshctl", "to"], ["top"]],
  [["meshctl", "-n", "top", "lo"], ["local"]],
  [
    ["meshctl", "local", ""],
    ["help", "logs", "up"],
  ],
  [["meshctl", "local", "-n", "up", "u"], ["up"]],
  [
    ["meshctl", "local", "up", "--f"],
    ["--file", "--foreground"],
  ],
  [["meshctl", "local", "up", "-f", "logs", "--fo"], ["--foreground"]],
  [["meshctl", "local", "logs", "-f", "--f"], ["--follow"]],
  [["meshctl", "top", "-o", "j"], ["json"]],
  [
    ["meshctl", "top", "--output", ""],
    ["json", "text"],
  ],
  [["meshctl", "top", "--n"], ["--namespace"]],
  [["meshctl", "-n", ""], []],
  [
    ["meshctl", "completion", ""],
    ["bash", "zsh"],
  ],
];

function bashCompletes(words: readonly string[]): string[] {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const text = `${script("bash")}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _meshctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", text], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "")
    .sort();
}

for (const [words, wanted] of cases) {
  test(`bash: ${words.join(" ")}`, () => {
    assert.deepEqual(bashCompletes(words), wanted);
  });
}

for (const [words, wanted] of cases) {
  test(`fish: ${words.join(" ")}`, { skip: !has("fish") }, () => {
    const text = `${script("fish")}\ncomplete -C '${words.join(" ")}'`;
    const found = execFileSync("fish", ["--no-config", "-c", text], { encoding: "utf8" });
    const lines = found.split("\n").map((line) => line.split("\t")[0] ?? "");
    const offered = lines
      .filter((line) => line !== "" && !line.includes("/") && !line.endsWith(".ts"))
      .sort();
    assert.deepEqual(wanted.length === 0 ? [] : offered, wanted);
  });
}

test("zsh: the script is well formed", { skip: !has("zsh") }, () => {
  execFileSync("zsh", ["-n"], { input: script("zsh") });
});

test("every shell has a script that names every command", () => {
  for (const shell of shells) {
    for (const word of ["completion", "local", "foreground", "json"]) {
      assert.ok(script(shell).includes(word), `${shell}: ${word}`);
    }
  }
});
