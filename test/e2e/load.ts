/** Steady load in a test mesh: the pod of apps/load.ts, and what it says. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { server } from "./manifests.ts";
import type { TestMesh } from "./mesh.ts";

export interface LoadReport {
  readonly requests: number;
  readonly failures: readonly { readonly at: number; readonly what: string }[];
  readonly pods: Readonly<Record<string, number>>;
  /** Those that answered what was asked in the last 0.3 s. */
  readonly recent: readonly string[];
  /** The last few answers, and when they were asked for, in milliseconds since 1970. */
  readonly latest: readonly { readonly at: number; readonly pod: string }[];
  /** Milliseconds. */
  readonly longest: number;
}

export interface LoadOptions {
  readonly name?: string;
  readonly target?: string;
  /** Requests a second. */
  readonly rate?: number;
  readonly connections?: number;
  /** false: a pod without a sidecar. */
  readonly meshed?: boolean;
}

const reportPort = 9000;

/** Manifest of a pod, `load` unless it is named, that asks a Service; its own port is not part of the mesh. */
export function load(options: LoadOptions = {}): string {
  return server({
    name: options.name ?? "load",
    command: ["node", "load.ts"],
    port: reportPort,
    env: {
      TARGET: options.target ?? "http://web/",
      RATE: String(options.rate ?? 100),
      CONNECTIONS: String(options.connections ?? 4),
      // a sidecar repeats what met a close; a caller without one has to do it itself
      REPEAT: options.meshed === false ? "1" : "0",
    },
    annotations: { "config.nsm.nginx.com/ignore-incoming-ports": String(reportPort) },
    terminationGracePeriodSeconds: 0,
    meshed: options.meshed ?? true,
  });
}

export interface Load {
  report(): Promise<LoadReport>;
  /** Begins a new report; resolves with the old one when all of its requests have ended. */
  reset(): Promise<LoadReport>;
  /**
   * Load runs before, during and after the fault, `calm` milliseconds each side; resolves with the report of it all,
   * when all requests that were sent meanwhile have ended.
   */
  during(fault: () => Promise<unknown>, calm?: number): Promise<LoadReport>;
}

export async function loadOf(mesh: TestMesh, name = "load"): Promise<Load> {
  const { address } = await mesh.pod(name);
  const url = `http://${address}:${reportPort}/`;
  const load: Load = {
    report: async () => (await (await fetch(url)).json()) as LoadReport,
    reset: async () => (await (await fetch(url, { method: "POST" })).json()) as LoadReport,
    async during(fault, calm = 500) {
      await load.reset();
      await sleep(calm);
      await fault();
      await sleep(calm);
      return await load.reset();
    },
  };
  return load;
}

/** Nothing failed, and there was load at all. */
export function assertNoFailure(report: LoadReport, what: string, atLeast = 50): void {
  const shown = report.failures
    .slice(0, 5)
    .map(({ at, what: why }) => `${new Date(at).toISOString()} ${why}`);
  assert.equal(
    report.failures.length,
    0,
    `${what}: ${report.failures.length} of ${report.requests} requests failed:\n  ${shown.join("\n  ")}`,
  );
  assert.ok(report.requests >= atLeast, `${what}: only ${report.requests} requests`);
}
