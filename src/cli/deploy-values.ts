/** What the user's flags of `deploy` say, as values of the chart. */
import { readFileSync } from "node:fs";

import { CommandError } from "./errors.ts";
import { deployFlags, type ValuePath } from "./deploy-flags.ts";
import { readUpstreamAuthority } from "./upstream-authority.ts";

/** Values of a chart: nested tables. */
export type Values = Readonly<Record<string, unknown>>;

/** Flags of one deployment by their names in camel case; absent: not given. */
export interface GivenFlags extends Readonly<Record<string, unknown>> {
  readonly mtlsUpstreamCaConf?: string;
  readonly persistentStorage?: "auto" | "on" | "off";
  readonly registryKey?: string;
  readonly registryUsername?: string;
  readonly registryPassword?: string;
}

/** The table with a value at a path; the rest as it was. */
export function withValue(values: Values, path: ValuePath, value: unknown): Values {
  const [first, ...rest] = path;
  if (first === undefined) {
    return values;
  }
  const inner = (values[first] ?? {}) as Values;
  return { ...values, [first]: rest.length === 0 ? value : withValue(inner, rest, value) };
}

function readKey(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CommandError(`--registry-key ${path}: cannot read it: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/**
 * Only what was given: all else is the chart's default, or what an installed mesh has.
 * `storage` is what `--persistent-storage auto` has found; undefined: leave it as it is.
 * Throws CommandError for files that cannot be read, and for flags that do not go together.
 */
export function deployValues(given: GivenFlags, storage: "on" | "off" | undefined): Values {
  if ((given.registryUsername === undefined) !== (given.registryPassword === undefined)) {
    throw new CommandError("--registry-username and --registry-password go together");
  }
  let values: Values = {};
  for (const { option, path } of deployFlags) {
    const value = given[option.attributeName()];
    if (path !== undefined && value !== undefined) {
      values = withValue(values, path, value);
    }
  }
  if (given.mtlsUpstreamCaConf !== undefined) {
    const authority = readUpstreamAuthority(given.mtlsUpstreamCaConf);
    values = withValue(values, ["mtls", "upstreamAuthority"], authority);
  }
  if (given.registryKey !== undefined) {
    values = withValue(values, ["registry", "key"], readKey(given.registryKey));
  }
  return storage === undefined ? values : withValue(values, ["mtls", "persistentStorage"], storage);
}
