/** What the controller knows at a moment, and how it answers the tools. */
import type { Configuration } from "../compile/configuration.ts";
import type { Route } from "../metrics/routes.ts";
import type { MeshModel, Service } from "../model/mesh.ts";
import type { NatsLink } from "./nats.ts";

export interface ControllerState {
  model: MeshModel | undefined;
  configuration: Configuration | undefined;
  readonly startedAt: number;
  readonly version: string;
  nats: Pick<NatsLink, "connected" | "publisher"> | undefined;
  /** Where several controllers run: whether this one publishes, and who does. */
  election?: () => { readonly leading: boolean; readonly leader: string };
  /** Why the newest manifests are not in force; empty: they are. */
  error: string;
}

function serviceView(service: Service): object {
  return {
    namespace: service.namespace,
    name: service.name,
    headless: service.headless,
    addresses: service.addresses,
    ports: service.ports.map((port) => ({
      port: port.port,
      name: port.name,
      protocol: port.protocol,
      balancing: port.balancing,
      backends: port.route?.rules.flatMap((rule) => rule.backends),
      upstreams: port.endpoints.map((endpoint) => ({
        address: endpoint.address,
        port: endpoint.port,
        pod: endpoint.pod.name,
        meshed: endpoint.pod.meshed,
        mtls: endpoint.pod.identity !== "" && !endpoint.pod.plainPorts.includes(endpoint.port),
      })),
    })),
  };
}

function statusView(state: ControllerState): object {
  const { model, configuration } = state;
  const publisher = state.nats?.publisher();
  return {
    version: state.version,
    startedAt: new Date(state.startedAt).toISOString(),
    ...(state.election === undefined ? {} : { election: state.election() }),
    configuration: {
      version: configuration?.version ?? "",
      keys: configuration?.keys.size ?? 0,
      error: state.error,
    },
    nats: {
      connected: state.nats?.connected() ?? false,
      publishedVersion: publisher?.version ?? "",
      publishedAt:
        publisher === undefined || publisher.publishedAt === 0
          ? null
          : new Date(publisher.publishedAt).toISOString(),
      written: publisher?.written ?? 0,
      removed: publisher?.removed ?? 0,
      error: publisher?.error ?? "",
    },
    counts: {
      services: model?.services.length ?? 0,
      pods: model?.pods.length ?? 0,
      meshedPods: model?.pods.filter((pod) => pod.meshed).length ?? 0,
      workloads: model?.workloads.length ?? 0,
      problems: model?.problems.length ?? 0,
    },
    settings: model?.settings ?? null,
  };
}

/** Keys as they are in NATS, decoded. */
function configurationView(state: ControllerState): object {
  const keys = [...(state.configuration?.keys ?? [])].map(([key, value]): [string, unknown] => [
    key,
    JSON.parse(value),
  ]);
  return {
    version: state.configuration?.version ?? "",
    settings: state.model?.settings ?? null,
    keys: Object.fromEntries(keys),
  };
}

export function stateRoutes(state: ControllerState): Route[] {
  const route = (path: string, body: () => unknown): Route => ({
    path,
    answer: () => ({ status: 200, body: body() }),
  });
  return [
    route("/status", () => statusView(state)),
    route("/config", () => configurationView(state)),
    route("/services", () => (state.model?.services ?? []).map(serviceView)),
    route("/problems", () => state.model?.problems ?? []),
  ];
}
