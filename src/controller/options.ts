/** Flags of the controller. */
import { parseArgs } from "node:util";

export interface ControllerOptions {
  /** Folder of manifests. */
  readonly manifests: string;
  /** File with what local mode knows of pods and addresses. */
  readonly status: string;
  /** `host:port`. */
  readonly nats: string;
  /** Unix socket of the SPIFFE Workload API. */
  readonly workloadApi: string;
  readonly trustDomain: string;
  /** Unix socket of the HTTP interface. */
  readonly listen: string;
}

/** A flag is missing or unknown. */
export class OptionsError extends Error {
  override readonly name = "OptionsError";
}

const names = ["manifests", "status", "nats", "workload-api", "trust-domain", "listen"] as const;

export function readOptions(args: readonly string[]): ControllerOptions {
  let values: Record<string, string | undefined>;
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
    values = parseArgs({ args: [...args], options, strict: true }).values as Record<
      string,
      string | undefined
    >;
  } catch (error) {
    throw new OptionsError((error as Error).message, { cause: error });
  }
  const value = (name: (typeof names)[number]): string => {
    const text = values[name];
    if (text === undefined || text === "") {
      throw new OptionsError(
        `--${name} is missing; all of these are needed: ${names.map((each) => `--${each}`).join(" ")}`,
      );
    }
    return text;
  };
  return {
    manifests: value("manifests"),
    status: value("status"),
    nats: value("nats"),
    workloadApi: value("workload-api"),
    trustDomain: value("trust-domain"),
    listen: value("listen"),
  };
}
