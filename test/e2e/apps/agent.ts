/**
 * Runs functions of a test in a pod. Reads one JSON object a line from standard input, `{id, source, argument}`, calls
 * the function with the tools below and the argument, and answers `{id, value}` or `{id, error}`.
 */
import { createInterface } from "node:readline";
import * as tools from "./tools.ts";

/** A function whose callback has thrown may never end; this long it is waited for. */
const patience = 5_000;
const running = new Set<number>();
const say = (line: object): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, source, argument } = JSON.parse(line) as { id: number; source: string; argument: unknown };
    // oxlint-disable-next-line no-implied-eval -- the test's own code
    const run = new Function("tools", "argument", `return (${source})(tools, argument);`) as (
      given: typeof tools,
      argument: unknown,
    ) => Promise<unknown>;
    const end = (outcome: object): void => void (running.delete(id) && say({ id, ...outcome }));
    running.add(id);
    run(tools, argument).then(
      (value) => end({ value }),
      (error: unknown) =>
        end({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  })
  .on("close", () => process.exit(0));
process.on("uncaughtException", (error) => {
  process.stderr.write(`${error.stack}\n`);
  const hit = [...running];
  setTimeout(() => {
    for (const id of hit.filter((each) => running.delete(each))) {
      say({ id, error: `a callback has thrown: ${error.stack}` });
    }
  }, patience);
});
