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
  /** Results in a row. */
  readonly successes: number;
  readonly failures: number;
}

export const noCounts: ProbeCounts = { passed: undefined, successes: 0, failures: 0 };

/** The counts after one more result. */
export function count(counts: ProbeCounts, success: boolean, settings: ProbeSettings): ProbeCounts {
  if (success) {
    const successes = counts.successes + 1;
    const passed = successes >= settings.successThreshold ? true : counts.passed;
    return { passed, successes, failures: 0 };
  }
  const failures = counts.failures + 1;
  return { passed: failures >= settings.failureThreshold ? false : counts.passed, successes: 0, failures };
}

const firstPause = 25;

/**
 * Milliseconds until the next run. What has never succeeded is asked often, so that a pod is in use as soon as it can
 * be; the kubelet likewise probes at once when a container starts.
 */
export function pauseAfter(everPassed: boolean, runs: number, settings: ProbeSettings): number {
  return everPassed ? settings.period : Math.min(settings.period, firstPause * 1.5 ** Math.min(runs, 20));
}
