/** What the results of a probe add up to (Kubernetes documentation, "Configure Probes"). Pure. */
import type { Probe } from "../api/pod.ts";

export interface ProbeSettings {
  /** Milliseconds. */
  readonly initialDelay: number;
  readonly period: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** Kubernetes' defaults where the manifest says nothing. */
export function probeSettings(probe: Probe): ProbeSettings {
  return {
    initialDelay: (probe.initialDelaySeconds ?? 0) * 1000,
    period: (probe.periodSeconds ?? 10) * 1000,
    successThreshold: probe.successThreshold ?? 1,
    failureThreshold: probe.failureThreshold ?? 3,
  };
}

export interface ProbeCounts {
  /** Whether it counts as successful; undefined: nothing is known yet. */
  readonly passed: boolean | undefined;
  readonly everPassed: boolean;
  /** Results in a row. */
  readonly successes: number;
  readonly failures: number;
  /** Milliseconds at which the last run that counted as a failure began. */
  readonly failedAt: number | undefined;
}

export const noCounts: ProbeCounts = {
  passed: undefined,
  everPassed: false,
  successes: 0,
  failures: 0,
  failedAt: undefined,
};

/** Milliseconds until a failure counts; 0: it does. */
function untilFailureCounts({ everPassed, failedAt }: ProbeCounts, now: number, period: number): number {
  return everPassed || failedAt === undefined ? 0 : Math.max(0, failedAt + period - now);
}

/**
 * The counts after one more result, of a run that began at `at` (milliseconds). What has never succeeded runs more often than its
 * period; its failures count once a period, or a slow start would be taken for a dead one.
 */
export function count(
  counts: ProbeCounts,
  success: boolean,
  at: number,
  settings: ProbeSettings,
): ProbeCounts {
  if (success) {
    const successes = counts.successes + 1;
    const enough = successes >= settings.successThreshold;
    return {
      passed: enough ? true : counts.passed,
      everPassed: counts.everPassed || enough,
      successes,
      failures: 0,
      failedAt: counts.failedAt,
    };
  }
  if (untilFailureCounts(counts, at, settings.period) > 0) {
    return { ...counts, successes: 0 };
  }
  const failures = counts.failures + 1;
  const passed = failures >= settings.failureThreshold ? false : counts.passed;
  return { passed, everPassed: counts.everPassed, successes: 0, failures, failedAt: at };
}

const firstPause = 25;

/**
 * Milliseconds until the next run. What has never succeeded is asked often, so that a pod is in use as soon as it can
 * be, and when a failure counts; the kubelet likewise probes at once when a container starts.
 */
export function pauseAfter(counts: ProbeCounts, runs: number, now: number, settings: ProbeSettings): number {
  if (counts.everPassed) {
    return settings.period;
  }
  const pause = Math.min(settings.period, firstPause * 1.5 ** Math.min(runs, 20));
  return Math.min(pause, untilFailureCounts(counts, now, settings.period) || pause);
}
