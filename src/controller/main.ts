/** Composition root of the control plane in local mode. */
import { createCore, statisticsInterval } from "./core.ts";
import { createLog, problemLogger } from "./logging.ts";
import { runLoop } from "./loop.ts";
import { OptionsError, readOptions } from "./options.ts";
import { serve } from "./server.ts";
import { stateRoutes } from "./state.ts";
import { version } from "./version.ts";

const log = createLog();

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const { trustDomain } = options;
  const { identity, statistics, nats, state } = createCore({
    workloadApi: options.workloadApi,
    link: { server: options.nats, trustDomain },
    log,
  });

  const logProblems = problemLogger(log);
  const loop = await runLoop({
    manifests: options.manifests,
    status: options.status,
    settings: { trustDomain, local: true, statisticsInterval },
    onConfiguration(model, configuration) {
      state.model = model;
      state.configuration = configuration;
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
