/** The controller's log: JSON lines on standard error, each thing told once. */
import { type Logger, pino } from "pino";
import { formatProblem, type Problem } from "../api/problem.ts";

export function createLog(): Logger {
  return pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } },
    pino.destination({ dest: 2, sync: true }),
  );
}

/** Logs each problem when it appears, not each time that it is still there. */
export function problemLogger(log: Logger): (problems: readonly Problem[]) => void {
  let known = new Set<string>();
  return (problems) => {
    const lines = new Map(problems.map((problem) => [formatProblem(problem), problem]));
    for (const [line, problem] of lines) {
      if (!known.has(line)) {
        log[problem.severity === "error" ? "error" : "warn"]({ reason: problem.reason }, line);
      }
    }
    known = new Set(lines.keys());
  };
}

/** Of several things that may be wrong at once: logs each when it is new, and when it is over. */
export function linesLogger(log: Logger): (lines: readonly string[]) => void {
  let known: readonly string[] = [];
  return (lines) => {
    lines.filter((line) => !known.includes(line)).forEach((line) => log.error(line));
    known.filter((line) => !lines.includes(line)).forEach((line) => log.info(`over: ${line}`));
    known = [...lines];
  };
}

/** Of one thing that may be wrong: as `linesLogger`; empty: nothing is. */
export function stateLogger(log: Logger): (reason: string) => void {
  const lines = linesLogger(log);
  return (reason) => lines(reason === "" ? [] : [reason]);
}

/** Calls at most once in `interval` milliseconds; what comes between is left out. */
export function seldom<A extends readonly unknown[]>(
  interval: number,
  call: (...args: A) => void,
): (...args: A) => void {
  let last = -Infinity;
  return (...args) => {
    const now = performance.now();
    if (now - last >= interval) {
      last = now;
      call(...args);
    }
  };
}
