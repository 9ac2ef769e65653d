/** What the control plane has in local mode and in a cluster alike: its identity, its link to NATS, statistics, and what it knows. */
import type { Logger } from "pino";
import { type IdentityWatch, watchSvid } from "../identity/workload-client.ts";
import { createStatistics, type KnownPod, type Statistics } from "../metrics/statistics.ts";
import type { MeshModel } from "../model/mesh.ts";
import { seldom } from "./logging.ts";
import { type NatsLink, type NatsLinkOptions, openNatsLink } from "./nats.ts";
import type { ControllerState } from "./state.ts";
import { version } from "./version.ts";

/** Seconds. */
export const statisticsInterval = 1;
/** Messages of sidecars that are refused are logged no more often than this; milliseconds. */
const refusalInterval = 10_000;

export interface CoreOptions {
  /** Path of the Workload API's socket. */
  readonly workloadApi: string;
  readonly link: Pick<NatsLinkOptions, "server" | "trustDomain" | "namespace" | "storage">;
  readonly log: Logger;
}

export interface Core {
  readonly identity: IdentityWatch;
  readonly statistics: Statistics;
  readonly nats: NatsLink;
  readonly state: ControllerState;
}

/** Pods of the newest model by `namespace/name`; made anew for each model that there is. */
function podsOf(model: () => MeshModel | undefined): () => ReadonlyMap<string, KnownPod> {
  let of: MeshModel | undefined;
  let pods: ReadonlyMap<string, KnownPod> = new Map();
  return () => {
    if (of !== model()) {
      of = model();
      pods = new Map((of?.pods ?? []).map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
    }
    return pods;
  };
}

export function createCore({ workloadApi, link, log }: CoreOptions): Core {
  const knownPods = podsOf(() => state.model);
  const statistics = createStatistics({
    pod: (namespace, name) => knownPods().get(`${namespace}/${name}`),
    refused: seldom(refusalInterval, (subject: string, reason: string) =>
      log.warn({ subject }, `statistics are not counted: ${reason}`),
    ),
  });
  const identity = watchSvid(
    workloadApi,
    () => undefined,
    seldom(refusalInterval, (error: Error) => log.warn(error.message)),
  );
  const nats = openNatsLink({
    ...link,
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
  const state: ControllerState = {
    model: undefined,
    configuration: undefined,
    startedAt: Date.now(),
    version,
    error: "",
    nats,
  };
  return { identity, statistics, nats, state };
}
