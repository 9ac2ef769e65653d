/** Composition root of the control plane in local mode. */
import { watchSvid } from "../identity/workload-client.ts";
import { createStatistics, type KnownPod } from "../metrics/statistics.ts";
import type { MeshModel } from "../model/mesh.ts";
import { createLog, problemLogger, seldom } from "./logging.ts";
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

const log = createLog();

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

  const logProblems = problemLogger(log);
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
