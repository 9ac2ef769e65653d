/** Composition root of the control plane in local mode. */
import { pino } from "pino";
import { formatProblem, type Problem } from "../api/problem.ts";
import { watchSvid } from "../identity/workload-client.ts";
import { createStatistics, type KnownPod } from "../metrics/statistics.ts";
import type { MeshModel } from "../model/mesh.ts";
import { runLoop } from "./loop.ts";
import { openNatsLink } from "./nats.ts";
import { OptionsError, readOptions } from "./options.ts";
import { serve } from "./server.ts";
import { type ControllerState, stateRoutes } from "./state.ts";
import { version } from "./version.ts";

/** Seconds. */
const statisticsInterval = 1;
/** Messages of sidecars that are refused are logged no more often than this; milliseconds. */
const refusalInterval = 10_000;

const log = pino(
  { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } },
  pino.destination({ dest: 2, sync: true }),
);

/** Logs each problem when it appears, not each time that it is still there. */
function problemLogger(): (problems: readonly Problem[]) => void {
  let known = new Set<string>();
  return (problems) => {
    const lines = new Map(problems.map((problem) => [formatProblem(problem), problem]));
    for (const [line, problem] of lines) {
      if (!known.has(line)) {
        log[problem.severity === "error" ? "error" : "warn"]({ reason: problem.reason }, line);
      }
    }
    known = new Set(lines.keys());
  };
}

/** Calls at most once in `interval` milliseconds; what comes between is left out. */
function seldom<A extends readonly unknown[]>(
  interval: number,
  call: (...args: A) => void,
): (...args: A) => void {
  let last = -Infinity;
  return (...args) => {
    const now = performance.now();
    if (now - last >= interval) {
      last = now;
      call(...args);
    }
  };
}

function podsByName(model: MeshModel): ReadonlyMap<string, KnownPod> {
  return new Map(model.pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const { trustDomain } = options;
  let pods: ReadonlyMap<string, KnownPod> = new Map();
  const statistics = createStatistics({
    pod: (namespace, name) => pods.get(`${namespace}/${name}`),
    refused: seldom(refusalInterval, (subject: string, reason: string) =>
      log.warn({ subject }, `statistics are not counted: ${reason}`),
    ),
  });
  const identity = watchSvid(
    options.workloadApi,
    () => undefined,
    seldom(refusalInterval, (error: Error) => log.warn(error.message)),
  );
  const state: ControllerState = {
    model: undefined,
    configuration: undefined,
    startedAt: Date.now(),
    version,
    error: "",
    nats: undefined,
  };
  const nats = openNatsLink({
    server: options.nats,
    trustDomain,
    ready: identity.first,
    identity: () => identity.current()!,
    onStatistics(subject, bytes) {
      // before the first model no pod is known, and none could be told from an impostor
      if (state.model !== undefined) {
        statistics.handle(subject, bytes);
      }
    },
    onInfo: (message) => log.info(message),
    onWarning: (message) => log.warn(message),
  });
  state.nats = nats;

  const logProblems = problemLogger();
  const loop = await runLoop({
    manifests: options.manifests,
    status: options.status,
    settings: { trustDomain, statisticsInterval },
    onConfiguration(model, configuration) {
      state.model = model;
      state.configuration = configuration;
      pods = podsByName(model);
      logProblems(model.problems);
      nats.publish(configuration);
    },
    onError(message) {
      if (message !== state.error && message !== "") {
        log.error(message);
      }
      state.error = message;
    },
  });
  const server = await serve(options.listen, [...stateRoutes(state), ...statistics.routes]);
  log.info({ manifests: options.manifests, version }, "the controller runs");

  const stop = (): void => {
    loop.close();
    identity.close();
    server.close();
    server.closeAllConnections();
    void nats.close().finally(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

main().catch((error: unknown) => {
  log.fatal(error instanceof OptionsError ? error.message : error);
  process.exit(error instanceof OptionsError ? 2 : 1);
});
