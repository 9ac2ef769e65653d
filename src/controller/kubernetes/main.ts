/** Composition root of the control plane in a cluster. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Admission, createAdmission } from "../../admission/admission.ts";
import type { MeshObject } from "../../api/objects.ts";
import { type ApiServer, openApiServer } from "../../cluster/kubernetes/api-server.ts";
import { inCluster, InClusterError } from "../../cluster/kubernetes/in-cluster.ts";
import { type Cluster, watchCluster } from "../../cluster/kubernetes/source.ts";
import { Secret } from "../../identity/secret.ts";
import { defaultResources, injectSettings, type InjectSettings } from "../../inject/settings.ts";
import { type Core, createCore, statisticsInterval } from "../core.ts";
import { createLog, linesLogger, problemLogger, stateLogger } from "../logging.ts";
import { OptionsError } from "../options.ts";
import { answerRoutes, servePort } from "../server.ts";
import { type ControllerState, stateRoutes } from "../state.ts";
import { version } from "../version.ts";
import { certificateStore } from "./certificate-store.ts";
import { type Election, startElection } from "./election.ts";
import { behindFrontProxy, watchFrontProxy } from "./front-proxy.ts";
import { healthRoutes, versionRoutes } from "./health.ts";
import { clusterLoop } from "./loop.ts";
import { type KubernetesOptions, readKubernetesOptions } from "./options.ts";
import { keepPullSecrets, type PullSecrets, pullSecretName, pullSecretNamespaces } from "./pull-secrets.ts";
import { createReports } from "./reports.ts";

/** Of the pod; those of the chart. The control API is reached by port-forward alone, which the cluster's RBAC guards. */
const ports = { health: 8081, version: 8082, control: 8083, webhook: 8443 } as const;
/** Milliseconds between two looks at the webhook's certificate. */
const certificatePeriod = 30_000;
/** Milliseconds between the signal to end and the end. */
const drain = 3_000;
const leaseName = "nginx-mesh-controller";

const log = createLog();

/** What the parts of the control plane share. */
interface Parts extends Core {
  readonly options: KubernetesOptions;
  readonly api: ApiServer;
  /** Of this process; begins with the pod's name. */
  readonly instance: string;
}

function createParts(options: KubernetesOptions): Parts {
  const { namespace, trustDomain } = options;
  const instance = `${hostname()}-${randomBytes(4).toString("hex")}`;
  const api = openApiServer(inCluster(process.env, options.credentials));
  const core = createCore({
    workloadApi: options.workloadApi,
    link: { server: options.nats, trustDomain, namespace, storage: "memory" },
    log,
  });
  return { ...core, options, api, instance };
}

/** Undefined: the registry asks for no credentials. */
function pullSecretsOf({ api, options }: Parts): PullSecrets | undefined {
  const file = options.pullSecret;
  return file === ""
    ? undefined
    : keepPullSecrets({ api, content: () => new Secret(readFileSync(file)), onError: stateLogger(log) });
}

/** Follows the cluster; the leader publishes, and tells problems on their objects. */
function startLoop(parts: Parts): {
  readonly cluster: Cluster;
  readonly election: Election;
  stop(): Promise<void>;
} {
  const { options, api, instance, nats, state } = parts;
  const { namespace, trustDomain } = options;
  const reports = createReports({ api, instance, now: Date.now, onError: stateLogger(log) });
  const pullSecrets = pullSecretsOf(parts);
  let namespaces: ReadonlySet<string> | undefined;
  const logProblems = problemLogger(log);
  const logErrors = linesLogger(log);
  const copyPullSecrets = (): void => {
    if (election.leading() && namespaces !== undefined) {
      pullSecrets?.update(namespaces);
    }
  };
  /** What the leader does with the newest state; others only hold it. */
  const publish = (): void => {
    if (election.leading() && state.configuration !== undefined) {
      nats.publish(state.configuration);
    }
  };
  const report = (): void => {
    if (election.leading() && state.model !== undefined) {
      reports.update(cluster.references(state.model.problems), state.model.problems);
    }
  };
  const pass = clusterLoop({
    cluster: () => cluster,
    settings: { trustDomain, namespace, statisticsInterval },
    ...(pullSecrets === undefined
      ? {}
      : {
          onSnapshot(snapshot) {
            namespaces = pullSecretNamespaces(snapshot, namespace);
            copyPullSecrets();
          },
        }),
    onModel(model) {
      state.model = model;
      report();
    },
    onConfiguration(model, configuration) {
      state.configuration = configuration;
      logProblems(model.problems);
      publish();
    },
    onError: stateLogger(log),
  });
  const cluster = watchCluster({
    api,
    namespace,
    onChange: pass,
    onErrors(errors) {
      state.error = errors.join("; ");
      logErrors(errors);
    },
  });
  const election = startElection({
    api,
    namespace,
    name: leaseName,
    identity: instance,
    onChange(leading) {
      log.info(leading ? "this controller publishes now" : "this controller does not publish any more");
      if (leading) {
        publish();
        report();
        copyPullSecrets();
      } else {
        nats.withdraw();
        reports.reset();
        pullSecrets?.reset();
      }
    },
    onError: stateLogger(log),
  });
  return {
    cluster,
    election,
    async stop() {
      cluster.close();
      await election.close();
      await reports.close();
      await pullSecrets?.close();
    },
  };
}

/** What the injector writes into pods; `nginx-meshctl inject` asks for it too. */
function injectionSettings(options: KubernetesOptions): InjectSettings {
  return injectSettings.parse({
    meshNamespace: options.namespace,
    trustDomain: options.trustDomain,
    nats: options.nats,
    sidecarImage: options.sidecarImage,
    initImage: options.initImage,
    imagePullPolicy: options.imagePullPolicy,
    order: options.sidecarOrder,
    ipv6: options.ipv6,
    workloadApi: options.podWorkloadApi,
    ...(options.pullSecret === "" ? {} : { pullSecret: pullSecretName }),
    resources: defaultResources,
  });
}

/** The webhooks, and on the same port the metrics API for the API server, if it is to have one. */
async function startWebhooks(parts: Parts, cluster: Cluster, settings: InjectSettings) {
  const { api, options, statistics } = parts;
  const frontProxy = options.metricsApi ? watchFrontProxy(api, stateLogger(log)) : undefined;
  const objects = (): readonly MeshObject[] => cluster.objects();
  const admission = await createAdmission({
    namespace: options.namespace,
    port: ports.webhook,
    host: options.listen,
    store: certificateStore(api, options.namespace),
    injection: { settings: () => settings },
    objects,
    otherwise:
      frontProxy === undefined
        ? answerRoutes([])
        : behindFrontProxy(frontProxy, answerRoutes(statistics.routes)),
    log: (level, message) => log[level](message),
    certificatePeriod,
  });
  return {
    admission,
    async stop() {
      frontProxy?.close();
      await admission.close();
    },
  };
}

/**
 * What keeps the webhooks from answering. SPIRE and NATS are none of it: while one of them is away pods are still made, and a
 * controller that counts as not ready is asked nothing.
 */
function readinessOf(
  state: ControllerState,
  cluster: Cluster,
  admission: Admission | undefined,
): readonly string[] {
  const missing = cluster.missing();
  return [
    ...(missing.length === 0 ? [] : [`these are not read yet: ${missing.join(", ")}`]),
    ...(missing.length > 0 && state.error !== "" ? [state.error] : []),
    ...(admission?.ready === true ? [] : ["there is no certificate for the webhook yet"]),
  ];
}

async function main(): Promise<void> {
  const parts = createParts(readKubernetesOptions(process.argv.slice(2), process.env));
  const { options, api, identity, nats, state, statistics } = parts;
  const loop = startLoop(parts);
  state.election = () => ({ leading: loop.election.leading(), leader: loop.election.leader() });
  const settings = injectionSettings(options);
  const readiness = { reasons: () => readinessOf(state, loop.cluster, webhooks?.admission) };
  const injection = { path: "/injection", answer: () => ({ status: 200, body: settings }) };
  let webhooks: Awaited<ReturnType<typeof startWebhooks>> | undefined;
  // first, as the kubelet asks whether the controller lives while the API server is slow
  const servers: readonly Server[] = await Promise.all([
    servePort(options.listen, ports.health, healthRoutes(readiness)),
    servePort(options.listen, ports.version, versionRoutes(version)),
    servePort(options.controlListen, ports.control, [...stateRoutes(state), injection, ...statistics.routes]),
  ]);

  const stop = async (): Promise<void> => {
    await loop.election.close();
    // the API server may ask here until it has heard that this controller goes
    await sleep(drain);
    await loop.stop();
    await webhooks?.stop();
    identity.close();
    servers.forEach((server) => {
      server.close();
      server.closeAllConnections();
    });
    await nats.close();
    api.close();
    process.exit(0);
  };
  process.once("SIGTERM", () => void stop());
  process.once("SIGINT", () => void stop());

  webhooks = await startWebhooks(parts, loop.cluster, settings);
  log.info({ version, namespace: options.namespace }, "the controller runs");
}

main().catch((error: unknown) => {
  const usage = error instanceof OptionsError || error instanceof InClusterError;
  log.fatal(usage ? error.message : error);
  process.exit(usage ? 2 : 1);
});
