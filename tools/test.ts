/**
 * `make test`: every test that needs one machine, as one run of node's test runner. Unit tests run side by side; so do
 * tests with meshes that mostly wait, three at a time, and those that send much, two; those that measure times run alone.
 */
import { globSync, writeSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const root = join(import.meta.dirname, "..");
/** Milliseconds for one file. */
const timeout = 600_000;
/** What needs a cluster, or Helm, has targets of its own. */
const elsewhere = ["test/kubernetes/", "test/chart/"];
/** Results that depend on how busy the machine is, or on what other meshes leave on it. */
const alone = [
  "bench/",
  "src/controller/controller.test.ts",
  ...["balancing", "control-changes", "local-lifetime"].map((name) => `test/e2e/${name}.test.ts`),
];
/** These keep a processor busy for most of their time. The longest come first, so that none runs alone at the end. */
const busy = [
  "test/sidecar/rotations.test.ts",
  ...["http-bodies", "fault-sidecar", "fault-endpoints", "shop", "fault-control-plane"].map(
    (name) => `test/e2e/${name}.test.ts`,
  ),
];

interface Group {
  readonly name: string;
  readonly files: readonly string[];
  readonly concurrency: number;
}

function groups(): Group[] {
  const all = globSync("{src,tools,bench,images,testbed,test}/**/*.test.ts", { cwd: root })
    .filter((file) => !elsewhere.some((folder) => file.startsWith(folder)))
    .sort();
  const isAlone = (file: string): boolean => alone.some((start) => file.startsWith(start));
  const isBusy = (file: string): boolean => busy.includes(file);
  const isMesh = (file: string): boolean => file.startsWith("test/e2e/");
  const together = all.filter((file) => !isAlone(file) && !isBusy(file));
  return [
    { name: "units", files: together.filter((file) => !isMesh(file)), concurrency: 4 },
    { name: "meshes", files: together.filter(isMesh), concurrency: 3 },
    { name: "loads", files: busy.filter((file) => all.includes(file)), concurrency: 2 },
    { name: "one by one", files: all.filter(isAlone), concurrency: 1 },
  ];
}

type Counts = Record<"tests" | "suites" | "passed" | "failed" | "cancelled" | "skipped" | "todo", number>;

const sum: Counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
const slowest: { file: string; seconds: number }[] = [];
const reporter = new spec();
reporter.on("data", (text: string) => writeSync(1, text));

function summarize(counts: Partial<Counts>): void {
  for (const name of Object.keys(sum) as (keyof Counts)[]) {
    sum[name] += counts[name] ?? 0;
  }
}

/** Reports everything but the group's own last lines, which one summary replaces. */
async function runGroup({ name, files, concurrency }: Group): Promise<void> {
  const startedAt = Date.now();
  const paths = files.map((file) => join(root, file));
  for await (const event of run({ files: paths, concurrency, timeout, cwd: root })) {
    if (event.type === "test:summary") {
      if (event.data.file === undefined) {
        summarize(event.data.counts as Partial<Counts>);
      } else {
        const { file, duration_ms: milliseconds } = event.data;
        slowest.push({ file: file.slice(root.length + 1), seconds: milliseconds / 1000 });
      }
    } else if (event.type !== "test:diagnostic" || event.data.nesting > 0) {
      reporter.write(event);
    }
  }
  note(`${name}: ${files.length} files in ${Math.round((Date.now() - startedAt) / 1000)} s`);
}

function note(message: string): void {
  reporter.write({ type: "test:diagnostic", data: { nesting: 0, message, level: "info" } });
}

const startedAt = Date.now();
for (const group of groups()) {
  await runGroup(group);
}
slowest.sort((a, b) => b.seconds - a.seconds);
note(
  `slowest: ${slowest
    .slice(0, 12)
    .map(({ file, seconds }) => `${file} ${seconds.toFixed(1)} s`)
    .join(", ")}`,
);
note(`tests ${sum.tests}`);
note(`suites ${sum.suites}`);
note(`pass ${sum.passed}`);
note(`fail ${sum.failed}`);
note(`cancelled ${sum.cancelled}`);
note(`skipped ${sum.skipped}`);
note(`todo ${sum.todo}`);
note(`duration_ms ${Date.now() - startedAt}`);
reporter.end();
process.exitCode = sum.failed + sum.cancelled > 0 ? 1 : 0;
