/** What is said while something takes its time. */
import type { Output } from "./program.ts";

/** Milliseconds after which a user wants to know what is going on. */
const patience = 1000;

/** Says what is being waited for when it takes longer than a second. */
export async function withNotice<T>(
  output: Pick<Output, "warn">,
  what: string,
  result: Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => output.warn(`${what} ...\n`), patience);
  try {
    return await result;
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds after which what is being waited for is said again. */
const saidAgain = 15_000;

export interface Reminder {
  /** Says what is being waited for, if nothing was said for long. */
  remind(what: string): void;
  /** Something else was said. */
  spoke(): void;
}

/** For a wait with many looks; the first time it is said after so many milliseconds. */
export function reminder(output: Pick<Output, "warn">, first = saidAgain): Reminder {
  let due = performance.now() + first;
  const spoke = (): void => void (due = performance.now() + saidAgain);
  return {
    spoke,
    remind(what) {
      if (performance.now() >= due) {
        spoke();
        output.warn(what);
      }
    },
  };
}
