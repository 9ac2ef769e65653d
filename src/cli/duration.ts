/** Durations as users write them. */
import { InvalidArgumentError } from "commander";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `5s`, `1m30s`, `500ms`; throws InvalidArgumentError for anything else. */
export function parseDuration(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    throw new InvalidArgumentError("it must be a duration such as 5s, 500ms or 1m30s.");
  }
  let sum = 0;
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    sum += Number(value) * (units[unit ?? ""] ?? 0);
  }
  return sum;
}
