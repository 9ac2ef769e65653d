/**
 * `make bench`: measures, prints tables, writes bench/results.json and the tables in docs/benchmarks.md.
 *
 *   node bench/run.ts [--only compare,footprint,fleet] [--systems direct,native,captured,mesh] [--kinds http,http-64k,grpc,tcp]
 *                     [--rounds 7] [--seconds 3] [--no-write]
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { compare, warmUp, type Comparison } from "./compare.ts";
import { replaceSection } from "./document.ts";
import { figureTable, type Figure } from "./figures.ts";
import { measureFleet } from "./fleet.ts";
import { measureFootprint } from "./footprint.ts";
import { kinds, type Kind } from "./kinds.ts";
import { busyShare, cpuTimes, machine } from "./machine.ts";
import { pss } from "./processes.ts";
import { buildPrograms, type Programs } from "./programs.ts";
import { pssResult, resultsOf, table, type Result } from "./results.ts";
import { joinSchedulingGroup } from "./scheduling.ts";
import { startMeshSystem } from "./systems/mesh.ts";
import { sidecarRoot, startCaptured, startDirect, startNative } from "./systems/plain.ts";
import type { System } from "./systems/system.ts";

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", default: "compare,footprint,fleet" },
    systems: { type: "string", default: "direct,native,captured,mesh" },
    kinds: { type: "string", default: kinds.map((kind) => kind.name).join(",") },
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "3" },
    "no-write": { type: "boolean", default: false },
  },
});
const sections = flags.only.split(",");
const chosenKinds = kinds.filter((kind) => flags.kinds.split(",").includes(kind.name));
const rounds = Number(flags.rounds);
const seconds = Number(flags.seconds);

function progress(text: string): void {
  console.log(`  bench     ${text}`);
}

interface Compared {
  readonly comparison: Comparison;
  readonly results: readonly Result[];
}

/**
 * Memory is that of each system alone after traffic of all kinds: nginx processes share pages, so that the other system's
 * would make both look smaller.
 */
async function runComparison(programs: Programs): Promise<Compared> {
  const wanted = flags.systems.split(",");
  const running: System[] = [];
  const start = async (name: string, starter: (programs: Programs) => Promise<System>): Promise<void> => {
    if (wanted.includes(name)) {
      progress(`starting ${name}`);
      running.push(await starter(programs));
    }
  };
  try {
    await start("direct", startDirect);
    await start("native", startNative);
    const nativeMemory = await memoryAlone(programs, running, "native");
    await start("captured", startCaptured);
    await start("mesh", startMeshSystem);
    const comparison = await compare(programs.load, running, {
      rounds,
      seconds,
      kinds: chosenKinds,
      progress,
    });
    for (const name of ["direct", "native", "captured"]) {
      const at = running.findIndex((system) => system.name === name);
      await (at < 0 ? undefined : running.splice(at, 1)[0]?.stop());
    }
    const meshMemory = await memoryAlone(programs, running, "mesh");
    const memory = nativeMemory === undefined ? [] : [pssResult(nativeMemory, meshMemory)];
    return { comparison, results: [...resultsOf(comparison), ...memory] };
  } finally {
    await Promise.all(running.map((system) => system.stop()));
  }
}

async function memoryAlone(
  programs: Programs,
  running: readonly System[],
  name: string,
): Promise<readonly number[] | undefined> {
  const system = running.find((each) => each.name === name);
  if (system === undefined) {
    return undefined;
  }
  await warmUp(programs.load, [system], kinds);
  return system.proxies.map((proxy) => pss(proxy.pids));
}

async function runFigures(programs: Programs): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  if (sections.includes("footprint")) {
    for (const count of [100, 10_000]) {
      progress(`memory in a cluster of ${count} Services`);
      figures.push(...(await measureFootprint(programs, count)));
    }
  }
  if (sections.includes("fleet")) {
    figures.push(...(await measureFleet(programs, progress)));
  }
  return figures;
}

function titleOf(kind: string): string {
  return kinds.find((each: Kind) => each.name === kind)?.title ?? kind;
}

function comparisonText({ comparison, results }: Compared, busy: number, where: string): string {
  const rates = comparison.kinds.map((kind) => `${kind.title}: ${comparison.rates[kind.name]}`).join(", ");
  return `${where}

${rounds} rounds of ${seconds} s for each system, kind and phase. Fixed rates (requests/s): ${rates}. Before the run, other programs took ${(busy * 100).toFixed(0)} % of the machine.

${table(results, titleOf)}`;
}

/** Waits a moment and tells how busy the machine is with other things. */
async function disturbance(): Promise<number> {
  const before = cpuTimes();
  await sleep(3000);
  return busyShare(before, cpuTimes());
}

function writeSection(name: string, text: string): void {
  const file = join(import.meta.dirname, "../docs/benchmarks.md");
  writeFileSync(file, replaceSection(readFileSync(file, "utf8"), name, text));
}

/** Adds to what earlier runs of other sections have left there. */
function writeResults(fresh: readonly (Result | (Figure & { readonly kind: string }))[]): void {
  const file = join(import.meta.dirname, "results.json");
  const old = existsSync(file)
    ? (JSON.parse(readFileSync(file, "utf8")) as Pick<Result, "kind" | "metric">[])
    : [];
  const key = (each: { kind: string; metric: string }): string => `${each.kind} ${each.metric}`;
  const renewed = new Set(fresh.map(key));
  const all = [...old.filter((each) => !renewed.has(key(each))), ...fresh];
  writeFileSync(file, `${JSON.stringify(all, undefined, 2)}\n`);
}

async function main(): Promise<void> {
  const programs = buildPrograms();
  const busy = await disturbance();
  if (busy > 0.1) {
    progress(
      `other programs take ${(busy * 100).toFixed(0)} % of this machine: the figures will be disturbed`,
    );
  }
  const where = machine(new Date(), sidecarRoot);
  const write = !flags["no-write"];
  if (sections.includes("compare")) {
    const compared = await runComparison(programs);
    const text = comparisonText(compared, busy, where);
    console.log(`\n${text}\n`);
    if (write) {
      writeResults(compared.results);
      writeSection("comparison", text);
    }
  }
  const figures = await runFigures(programs);
  if (figures.length > 0) {
    console.log(`\n${figureTable(figures)}\n`);
  }
  if (write && figures.length > 0) {
    writeResults(figures.map((each) => ({ ...each, kind: "mesh" })));
    writeSection("figures", `${where}\n\n${figureTable(figures)}`);
  }
}

// what runs and what was made go at exit; there are more listeners for it than Node thinks are meant
process.setMaxListeners(200);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => process.exit(130));
}
const group = joinSchedulingGroup();
if (group === undefined) {
  progress("no control groups for the processor here: processes are scheduled by session");
} else {
  process.on("exit", () => group.leave());
}
await main();
