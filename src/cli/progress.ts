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
