/** Many events in a short time as one call. */

/** Editors write in several steps; quiet for this long counts as written. */
export const settleMilliseconds = 5;
/** A stream of events holds the call up no longer than this. */
export const longestMilliseconds = 25;

export interface Gathering {
  /** Something happened. */
  soon(): void;
  close(): void;
}

/** Calls when events have ceased, or go on for too long. */
export function gather(call: () => void): Gathering {
  let timer: NodeJS.Timeout | undefined;
  let first = 0;
  return {
    soon() {
      const now = Date.now();
      first = timer === undefined ? now : first;
      clearTimeout(timer);
      const wait = Math.max(0, Math.min(settleMilliseconds, first + longestMilliseconds - now));
      timer = setTimeout(() => {
        timer = undefined;
        call();
      }, wait);
    },
    close: () => clearTimeout(timer),
  };
}
