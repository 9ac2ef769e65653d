/** A timer for certificate lives, which exceed what setTimeout can count (24.8 days); it keeps no process alive. */
export interface Timer {
  stop(): void;
}

const longestStep = 86_400_000;

/** Calls `action` once after that many milliseconds. */
export function startTimer(milliseconds: number, action: () => void): Timer {
  const end = performance.now() + milliseconds;
  let timeout: NodeJS.Timeout;
  const wait = (): void => {
    const rest = end - performance.now();
    if (rest <= 0) {
      action();
      return;
    }
    timeout = setTimeout(wait, Math.min(rest, longestStep)).unref();
  };
  timeout = setTimeout(wait, Math.max(0, Math.min(milliseconds, longestStep))).unref();
  return { stop: () => clearTimeout(timeout) };
}
