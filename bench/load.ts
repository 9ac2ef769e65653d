/** One measurement: a kind of traffic through a system, and what it cost the proxies. */
import { run } from "./commands.ts";
import type { Kind } from "./kinds.ts";
import { cpuTime } from "./processes.ts";
import type { System } from "./systems/system.ts";

export interface LoadOptions {
  readonly seconds: number;
  readonly warmUp: number;
  /** Requests per second; undefined: as many as are answered. */
  readonly rate?: number;
}

export interface Sample {
  /** Requests per second. */
  readonly throughput: number;
  /** CPU of all proxies for one request, in microseconds. */
  readonly cpu: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

interface LoadReport {
  readonly requests: number;
  readonly total: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
}

/** Throws CommandError when an answer was wrong. */
export async function measure(
  load: string,
  system: System,
  kind: Kind,
  options: LoadOptions,
): Promise<Sample> {
  const targets = system.targets(kind).flatMap((target) => ["-t", target]);
  const rate = options.rate === undefined ? [] : ["-r", String(options.rate)];
  const times = ["-w", String(options.warmUp), "-d", String(options.seconds)];
  const pids = system.proxies.flatMap((proxy) => proxy.pids);
  const before = cpuTime(pids);
  const output = await run([...system.inClient, load, ...kind.load, ...targets, ...rate, ...times]);
  const spent = cpuTime(pids) - before;
  const report = JSON.parse(output) as LoadReport;
  return {
    throughput: report.requests / report.seconds,
    cpu: spent / 1000 / report.total,
    p50: report.p50,
    p99: report.p99,
  };
}
