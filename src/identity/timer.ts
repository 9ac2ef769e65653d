/** A timer for the lives of certificates: it goes by the clock on the wall, also across a suspend, and keeps no process alive. */
export interface Timer {
  stop(): void;
}

/** A suspended machine's timers stand still, so the clock is looked at this often; setTimeout counts 24.8 days at most. */
const longestStep = 60_000;

/** Calls `action` once after that many milliseconds. */
export function startTimer(milliseconds: number, action: () => void): Timer {
  const end = Date.now() + milliseconds;
  let timeout: NodeJS.Timeout;
  const wait = (rest: number): void => {
    timeout = setTimeout(look, Math.max(0, Math.min(rest, longestStep))).unref();
  };
  const look = (): void => {
    const rest = end - Date.now();
    if (rest <= 0) {
      action();
    } else {
      wait(rest);
    }
  };
  wait(milliseconds);
  return { stop: () => clearTimeout(timeout) };
}
