/** Probes in many pods that tell when the answer of a service has changed for each of them. */
import { createInterface } from "node:readline";
import { startProgram } from "./commands.ts";

export interface ChangeWatch {
  /**
   * Resolves when the last answers of all probes are as wanted, with the time of the probe that was last: CLOCK_MONOTONIC in nanoseconds,
   * as `process.hrtime.bigint()`. Rejects when a probe has ended, or after ten seconds.
   */
  allSee(wanted: (name: string) => boolean): Promise<bigint>;
  stop(): Promise<void>;
}

interface Seen {
  name: string;
  at: bigint;
}

/** Starts the probes (bench/programs/probe.c) and waits for the first answer of each. */
export async function watchChanges(commands: readonly (readonly string[])[]): Promise<ChangeWatch> {
  const seen = commands.map((): Seen => ({ name: "", at: 0n }));
  let check = (): void => undefined;
  let fail: (reason: Error) => void = () => undefined;
  const programs = commands.map((command, index) => {
    const program = startProgram(command);
    createInterface({ input: program.process.stdout ?? process.stdin }).on("line", (line) => {
      const [at, name] = line.split(" ");
      seen[index] = { name: name ?? "", at: BigInt(at ?? 0) };
      check();
    });
    program.process.on("exit", () => fail(new Error(`a probe has ended: ${program.errors().trim()}`)));
    return program;
  });
  const allSee = (wanted: (name: string) => boolean): Promise<bigint> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        const others = seen.filter((each) => !wanted(each.name)).length;
        reject(new Error(`after 10 s ${others} of ${seen.length} probes have not seen the change`));
      }, 10_000);
      fail = reject;
      check = () => {
        if (seen.every((each) => wanted(each.name))) {
          clearTimeout(late);
          resolve(seen.reduce((last, each) => (each.at > last ? each.at : last), 0n));
        }
      };
      check();
    });
  const stop = async (): Promise<void> => {
    fail = () => undefined;
    await Promise.all(programs.map((program) => program.stop()));
  };
  try {
    await allSee((name) => name !== "");
  } catch (error) {
    await stop();
    throw error;
  }
  return { allSee, stop };
}
