/** What `make cluster` says while it works: one line a step, aligned like those of the set-up. */

export function say(title: string, text: string): void {
  console.log(`  ${title.padEnd(9)} ${text}`);
}

/** Says what is being done, and how long it took when that was more than a moment. */
export async function step<T>(title: string, text: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  if (process.stdout.isTTY) {
    process.stdout.write(`  ${title.padEnd(9)} ${text} …\r`);
  }
  const result = await work();
  say(title, `${text}  (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  return result;
}
