/** Asking the user before something that cannot be undone. */
import { createInterface } from "node:readline/promises";

import { CommandError } from "./errors.ts";
import type { Output } from "./program.ts";

/** Goes on when the user says yes. Throws CommandError: no, or there is nobody to ask. */
export async function confirm(yes: boolean, what: string, output: Output): Promise<void> {
  if (yes) {
    return;
  }
  if (!process.stdin.isTTY) {
    throw new CommandError(`${what} Nobody can be asked here: say --yes to go on.`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    output.warn(`${what}\n`);
    const answer = await terminal.question("Go on? [y/N] ");
    if (!/^y(es)?$/i.test(answer.trim())) {
      throw new CommandError("nothing was done");
    }
  } finally {
    terminal.close();
  }
}
