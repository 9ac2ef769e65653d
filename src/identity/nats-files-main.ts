/**
 * Keeps the files of the NATS server beside it in one pod: `node nats-files.mjs --directory /run/nats …`. The two
 * containers share the folder and the process namespace, and run as the same user, so that the signal may be sent. With
 * `--once` it ends when the files are there: an init container, so that the server never starts without them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { openApiServer } from "../cluster/kubernetes/api-server.ts";
import {
  anyAddress,
  inCluster,
  InClusterError,
  serviceAccountFolder,
} from "../cluster/kubernetes/in-cluster.ts";
import { keepClusterNatsFiles } from "./nats-files.ts";

const log = pino(
  { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } },
  pino.destination({ dest: 2, sync: true }),
);

const options = {
  directory: { type: "string" },
  "workload-api": { type: "string" },
  "trust-domain": { type: "string" },
  namespace: { type: "string" },
  /** Where the server keeps its store; default: a folder in `--directory`. */
  "store-directory": { type: "string" },
  /** Address that it listens at: `::` takes both families, `auto` those that this pod has. */
  listen: { type: "string", default: "auto" },
  port: { type: "string", default: "4222" },
  /** Default: port 8222 of the same address. */
  monitor: { type: "string" },
  /** Folder with `token` and `ca.crt`. */
  credentials: { type: "string", default: serviceAccountFolder },
  once: { type: "boolean", default: false },
} as const;

/** A flag is missing or unknown. */
class OptionsError extends Error {
  override readonly name = "OptionsError";
}

function readFlags(args: readonly string[]) {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true }));
  } catch (error) {
    throw new OptionsError((error as Error).message, { cause: error });
  }
  const needed = (name: "directory" | "workload-api" | "trust-domain" | "namespace"): string => {
    const value = values[name];
    if (value === undefined || value === "") {
      throw new OptionsError(`--${name} is missing`);
    }
    return value;
  };
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new OptionsError(`--port ${values.port} is not a port`);
  }
  const listen = values.listen === "auto" ? anyAddress(process.env) : values.listen;
  const host = listen.includes(":") ? `[${listen}]` : listen;
  return {
    directory: needed("directory"),
    workloadApi: needed("workload-api"),
    trustDomain: needed("trust-domain"),
    namespace: needed("namespace"),
    storeDirectory: values["store-directory"] ?? join(needed("directory"), "store"),
    listen,
    port,
    monitor: values.monitor ?? `${host}:8222`,
    credentials: values.credentials,
    once: values.once,
  };
}

/** Process ids of the servers that run with this configuration: `nats-server -c FILE`. */
function natsServers(configurationFile: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        const command = readFileSync(join("/proc", entry, "cmdline"), "utf8").split("\0");
        return (
          command.includes(configurationFile) && command.some((word) => basename(word) === "nats-server")
        );
      } catch {
        // ended meanwhile
        return false;
      }
    })
    .map(Number);
}

function reload(configurationFile: string): void {
  const servers = natsServers(configurationFile);
  for (const server of servers) {
    try {
      process.kill(server, "SIGHUP");
    } catch (error) {
      log.error(
        `cannot tell nats-server (process ${server}) to read its files again: ${(error as Error).message}; both containers must run as the same user`,
      );
    }
  }
  log.info(
    servers.length === 0
      ? "the files are written; no nats-server runs yet"
      : "nats-server reads its files again",
  );
}

/** Logs what is new, and what is over. */
function problemLog(): (source: string, message: string) => void {
  const known = new Map<string, string>();
  return (source, message) => {
    const before = known.get(source) ?? "";
    known.set(source, message);
    if (message !== "" && message !== before) {
      log.error(message);
    } else if (message === "" && before !== "") {
      log.info(`over: ${before}`);
    }
  };
}

function main(): void {
  const { listen, port, monitor, storeDirectory, credentials, once, ...rest } = readFlags(
    process.argv.slice(2),
  );
  const api = openApiServer(inCluster(process.env, credentials));
  const keeper = keepClusterNatsFiles({
    ...rest,
    api,
    server: {
      listenHost: listen,
      port,
      storeDirectory,
      storage: "memory",
      ...(monitor === "" ? {} : { monitor }),
    },
    onChanged() {
      if (once) {
        log.info("the files are written");
        process.exit(0);
      }
      reload(keeper.configurationFile);
    },
    onProblem: problemLog(),
  });
  const stop = (): void => {
    keeper.close();
    api.close();
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

try {
  main();
} catch (error) {
  const usage = error instanceof OptionsError || error instanceof InClusterError;
  log.fatal(usage ? (error as Error).message : error);
  process.exit(usage ? 2 : 1);
}
