/** Side by side: rounds in which every system carries every kind of traffic, in an order that changes from round to round. */
import type { Kind, KindName } from "./kinds.ts";
import { measure, type Sample } from "./load.ts";
import { median } from "./statistics.ts";
import type { System, SystemName } from "./systems/system.ts";

export interface ComparisonOptions {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly kinds: readonly Kind[];
  readonly progress: (text: string) => void;
}

/** Samples by kind and system, one a round. */
export type Samples = Readonly<Record<string, Readonly<Record<string, readonly Sample[]>>>>;

export interface Comparison {
  readonly kinds: readonly Kind[];
  readonly systems: readonly SystemName[];
  /** As many requests as are answered. */
  readonly saturated: Samples;
  /** At the rate of the kind. */
  readonly paced: Samples;
  /** Requests per second. */
  readonly rates: Readonly<Record<string, number>>;
}

export async function compare(
  load: string,
  systems: readonly System[],
  options: ComparisonOptions,
): Promise<Comparison> {
  options.progress("warming up");
  await warmUp(load, systems, options.kinds);
  const saturated = await rounds(load, systems, options, () => undefined);
  const rates = Object.fromEntries(options.kinds.map((kind) => [kind.name, fixedRate(saturated, kind.name)]));
  const paced = await rounds(load, systems, options, (kind) => rates[kind.name]);
  return { kinds: options.kinds, systems: systems.map((system) => system.name), saturated, paced, rates };
}

/** Connections between the proxies are made, code and buffers are in memory. */
export async function warmUp(
  load: string,
  systems: readonly System[],
  kinds: readonly Kind[],
): Promise<void> {
  for (const system of systems) {
    for (const kind of kinds) {
      await measure(load, system, kind, { seconds: 1, warmUp: 0 });
    }
  }
}

/** Half of what the slowest of the systems can do, rounded to hundreds. */
function fixedRate(saturated: Samples, kind: KindName): number {
  const highest = Object.values(saturated[kind] ?? {}).map((samples) =>
    median(samples.map((each) => each.throughput)),
  );
  return Math.max(100, Math.floor(Math.min(...highest) / 200) * 100);
}

async function rounds(
  load: string,
  systems: readonly System[],
  options: ComparisonOptions,
  rateOf: (kind: Kind) => number | undefined,
): Promise<Samples> {
  const samples: Record<string, Record<string, Sample[]>> = {};
  for (let round = 0; round < options.rounds; round++) {
    for (const kind of options.kinds) {
      const rate = rateOf(kind);
      const paced = rate === undefined ? "" : `, ${rate} requests/s`;
      options.progress(`round ${round + 1} of ${options.rounds}: ${kind.title}${paced}`);
      for (const system of rotated(systems, round)) {
        const times = { seconds: options.seconds, warmUp: 0.3 };
        const sample = await measure(load, system, kind, rate === undefined ? times : { ...times, rate });
        ((samples[kind.name] ??= {})[system.name] ??= []).push(sample);
      }
    }
  }
  return samples;
}

function rotated<T>(items: readonly T[], by: number): readonly T[] {
  return items.map((_, index) => items[(index + by) % items.length] as T);
}
