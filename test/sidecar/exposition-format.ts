/**
 * A strict reader of the Prometheus text format 0.0.4 (Prometheus documentation, "Exposition formats"): stricter than
 * Prometheus itself, so that what passes here is read by everyone.
 */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

class FormatError extends Error {}

function demand(condition: boolean, line: string, what: string): asserts condition {
  if (!condition) {
    throw new FormatError(`${what}: ${line}`);
  }
}

const escapes: Readonly<Record<string, string>> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

function readLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== "") {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=[a-zA-Z_])|$)/.exec(rest);
    demand(label !== null, line, `bad label at "${rest}"`);
    const [whole, name, value] = label as unknown as [string, string, string];
    demand(!(name in labels), line, `label "${name}" occurs twice`);
    labels[name] = value.replace(/\\[\\"n]/g, (escaped) => escapes[escaped]!);
    rest = rest.slice(whole.length);
  }
  return labels;
}

function readSample(line: string): Sample {
  const parts = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  demand(parts !== null, line, "no sample");
  const [, name, labels, number] = parts as unknown as [string, string, string | undefined, string];
  demand(/^(\d+(\.\d+)?(e[+-]?\d+)?|\+Inf|NaN)$/i.test(number), line, `bad value "${number}"`);
  return { name, labels: readLabels(labels ?? "", line), value: Number(number) };
}

function belongs(sample: Sample, name: string, type: string): boolean {
  return type === "histogram"
    ? [`${name}_bucket`, `${name}_sum`, `${name}_count`].includes(sample.name)
    : sample.name === name;
}

function seriesOf({ name, labels }: Sample, without?: string): string {
  const others = Object.entries(labels).filter(([label]) => label !== without);
  return `${name} ${JSON.stringify(others.toSorted(([a], [b]) => (a < b ? -1 : 1)))}`;
}

function checkHistogram({ name, samples }: Family): void {
  const groups = Object.groupBy(samples, (sample) =>
    seriesOf({ ...sample, name: "" }, sample.name === `${name}_bucket` ? "le" : undefined),
  );
  for (const [group, parts = []] of Object.entries(groups)) {
    const buckets = parts.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => Number((labels["le"] ?? "").replace("+Inf", "Infinity")));
    const [sum, count] = [`${name}_sum`, `${name}_count`].map((part) =>
      parts.filter((sample) => sample.name === part),
    );
    demand(sum?.length === 1 && count?.length === 1, group, "a histogram has one sum and one count");
    demand(bounds.at(-1) === Infinity, group, "the last bucket is +Inf");
    demand(
      bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!),
      group,
      "bounds rise",
    );
    demand(
      buckets.every(({ value }, i) => i === 0 || value >= buckets[i - 1]!.value),
      group,
      "buckets add up",
    );
    demand(buckets.at(-1)?.value === count[0]?.value, group, "the last bucket is the count");
  }
}

/** The families of a page, in its order. Throws an error that names the line for anything that is not allowed. */
export function readExposition(text: string): Family[] {
  demand(text.endsWith("\n"), "", "the last line has no end");
  const families: { name: string; type: string; help: string; samples: Sample[] }[] = [];
  const series = new Set<string>();
  const lines = text.slice(0, -1).split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const help = /^# HELP (\S+) (.+)$/.exec(line);
    if (help !== null) {
      const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(lines[++i] ?? "");
      demand(type !== null && type[1] === help[1], line, "HELP without TYPE");
      demand(!families.some(({ name }) => name === help[1]), line, "a family occurs twice");
      families.push({ name: help[1]!, type: type[2]!, help: help[2]!, samples: [] });
      continue;
    }
    const sample = readSample(line);
    const family = families.at(-1);
    demand(
      family !== undefined && belongs(sample, family.name, family.type),
      line,
      "a sample outside of its family",
    );
    demand(!series.has(seriesOf(sample)), line, "a series occurs twice");
    series.add(seriesOf(sample));
    family.samples.push(sample);
  }
  families.filter(({ type }) => type === "histogram").forEach(checkHistogram);
  return families;
}
