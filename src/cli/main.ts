/** `nginx-meshctl`: reads the command line, runs one command, ends with its exit status. */
import { CommanderError, type Command } from "commander";

import { CommandError, exitStatus } from "./errors.ts";
import { createProgram } from "./program.ts";

function throwOnExit(command: Command): void {
  command.exitOverride();
  command.commands.forEach(throwOnExit);
}

async function run(): Promise<number> {
  const program = createProgram({
    print: (text) => process.stdout.write(text),
    warn: (text) => process.stderr.write(text),
  });
  throwOnExit(program);
  try {
    await program.parseAsync();
    return Number(process.exitCode ?? exitStatus.ok);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has said it; help and version are no errors.
      return error.exitCode === 0 ? exitStatus.ok : exitStatus.notDone;
    }
    if (error instanceof CommandError) {
      process.stderr.write(`nginx-meshctl: ${error.message}\n`);
      return error.status;
    }
    throw error;
  }
}

// A pipe that is closed early, as by head, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? exitStatus.ok : exitStatus.notDone);
});
// no top-level await: the single executable file is a CommonJS bundle
void run().then((status) => {
  process.exitCode = status;
  // a credential plugin that hangs, or a connection that nobody closes, must not keep the answer from the shell
  setTimeout(() => process.exit(status), 200).unref();
});
