/** Composition root of the control plane in local mode. */
import "reflect-metadata";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";
import { formatProblem, type Problem } from "../api/problem.ts";
import { natsConnectionOptions } from "../identity/nats-client.ts";
import { watchSvid } from "../identity/workload-client.ts";
import { createStatistics, type Statistics, statisticsSubjects } from "../metrics/statistics.ts";
import { createPublisher, type Publisher } from "../publish/publisher.ts";
import { controllerServiceAccount } from "../wire/sidecar.ts";
import { runLoop } from "./loop.ts";
import { OptionsError, readOptions } from "./options.ts";
import { serve } from "./server.ts";
import { type ControllerState, stateRoutes } from "./state.ts";
import { version } from "./version.ts";

const statisticsInterval = 1;
const log = pino(
  { name: "nginx-mesh-controller", base: null, timestamp: pino.stdTimeFunctions.isoTime },
  pino.destination(2),
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

async function followConnection(
  connection: NatsConnection,
  state: ControllerState,
  publisher: Publisher,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "disconnect") {
      state.natsConnected = false;
      log.warn("connection to NATS lost; sidecars go on with what they have");
    } else if (status.type === "reconnect") {
      state.natsConnected = true;
      log.info("connected to NATS again");
      publisher.reconnected();
    }
  }
}

async function readStatistics(connection: NatsConnection, statistics: Statistics): Promise<void> {
  for await (const message of connection.subscribe(statisticsSubjects)) {
    statistics.handle(message.subject, message.data);
  }
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const state: ControllerState = {
    model: undefined,
    configuration: undefined,
    startedAt: Date.now(),
    version,
    natsConnected: false,
    error: "",
  };
  let publisher: Publisher | undefined;
  const statistics = createStatistics({
    pod: (namespace, name) =>
      state.model?.pods.find((pod) => pod.namespace === namespace && pod.name === name),
  });
  const server = await serve(options.listen, [
    ...stateRoutes(state, () => publisher?.state()),
    ...statistics.routes,
  ]);

  const logProblems = problemLogger();
  const loop = await runLoop({
    manifests: options.manifests,
    status: options.status,
    settings: { trustDomain: options.trustDomain, statisticsInterval },
    onConfiguration(model, configuration) {
      state.model = model;
      state.configuration = configuration;
      logProblems(model.problems);
      publisher?.publish(configuration);
    },
    onError(message) {
      if (message !== state.error && message !== "") {
        log.error(message);
      }
      state.error = message;
    },
  });

  const identity = watchSvid(
    options.workloadApi,
    () => undefined,
    (error) => log.warn(error.message),
  );
  const stop = (): void => {
    loop.close();
    identity.close();
    server.close();
    process.exit(0);
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);

  await identity.first;
  const connection = await connect(
    natsConnectionOptions({
      server: options.nats,
      trustDomain: options.trustDomain,
      serviceAccount: controllerServiceAccount,
      identity: () => identity.current()!,
    }),
  );
  state.natsConnected = true;
  log.info({ server: options.nats }, "connected to NATS");
  publisher = createPublisher({ connection, now: Date.now, onError: (error) => log.warn(error.message) });
  if (state.configuration !== undefined) {
    publisher.publish(state.configuration);
  }
  void followConnection(connection, state, publisher);
  void readStatistics(connection, statistics);
}

main().catch((error: unknown) => {
  log.fatal(error instanceof OptionsError ? error.message : error);
  process.exit(error instanceof OptionsError ? 2 : 1);
});
