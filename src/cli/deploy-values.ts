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

/** What is at a path. */
export function valueAt(values: unknown, [first, ...rest]: ValuePath): unknown {
  if (first === undefined) {
    return values;
  }
  return isTable(values) ? valueAt(values[first], rest) : undefined;
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

/** The path of the table that says which authority is above the mesh's CA. */
export const upstreamAuthority: ValuePath = ["mtls", "upstreamAuthority"];

function isTable(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * What to give helm so that a table of a release becomes this one: helm keeps what is not given, and takes away what is
 * given as null. Pure.
 */
export function replacing(before: unknown, table: Values): Values {
  const former = isTable(before) ? before : {};
  const left = Object.keys(former).filter((name) => !(name in table));
  return {
    ...Object.fromEntries(left.map((name) => [name, null])),
    ...Object.fromEntries(
      Object.entries(table).map(([name, value]) => [
        name,
        isTable(value) ? replacing(former[name], value) : value,
      ]),
    ),
  };
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
    values = withValue(values, upstreamAuthority, authority);
  }
  if (given.registryKey !== undefined) {
    values = withValue(values, ["registry", "key"], readKey(given.registryKey));
    // a mesh that is installed may log in the other way
    values = withValue(withValue(values, ["registry", "username"], ""), ["registry", "password"], "");
  }
  if (given.registryUsername !== undefined) {
    values = withValue(values, ["registry", "key"], "");
  }
  return storage === undefined ? values : withValue(values, ["mtls", "persistentStorage"], storage);
}
