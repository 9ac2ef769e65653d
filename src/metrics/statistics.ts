/** The statistics of a mesh, as the controller composes them: messages of sidecars in, answers about traffic out. */
import type { WorkloadReference } from "../wire/messages.ts";
import { joinFlows } from "./flows.ts";
import { parseStatistics } from "./message.ts";
import { type Route, statisticsRoutes } from "./routes.ts";
import { createWindow, forget, readWindow, takeIn, windowSeconds, type WindowLimits } from "./window.ts";

/** What the control plane knows of a pod that may send statistics. */
export interface KnownPod {
  readonly serviceAccount: string;
  readonly workload: WorkloadReference;
}

export interface StatisticsOptions {
  /** Milliseconds since 1970; default: Date.now. */
  readonly now?: () => number;
  /**
   * The pod of a name in the present snapshot. With it, a message must name the pod's own service account and
   * workload, and a pod that is gone is forgotten. Without it a message is only compared with its subject.
   */
  readonly pod?: (namespace: string, name: string) => KnownPod | undefined;
  /** Called for each message that is not counted; whoever logs this must limit how often. */
  readonly refused?: (subject: string, reason: string) => void;
  readonly limits?: WindowLimits;
}

export interface Statistics {
  /** Takes in a message from `statisticsSubjects`; never throws for what it holds. */
  handle(subject: string, bytes: Uint8Array): void;
  /** For the controller's HTTP interface: `/top` and the SMI metrics API. */
  readonly routes: readonly Route[];
  /** Messages since the start. */
  readonly counts: { readonly taken: number; readonly refused: number };
}

/** What to subscribe to. */
export const statisticsSubjects = "statistics.>";

/** A silent sidecar whose pod nobody asks about is forgotten after this many seconds. */
const longestSilence = 3600;

export function createStatistics(options: StatisticsOptions = {}): Statistics {
  const now = options.now ?? Date.now;
  const window = createWindow(options.limits);
  const counts = { taken: 0, refused: 0 };
  let tidiedAt = 0;

  const take = (subject: string, bytes: Uint8Array, seconds: number): string | undefined => {
    const parsed = parseStatistics(subject, bytes);
    if ("refused" in parsed) {
      return parsed.refused;
    }
    const { message, serviceAccount } = parsed;
    const stranger = options.pod === undefined ? undefined : contradiction(options.pod, parsed);
    return stranger ?? takeIn(window, message, serviceAccount, seconds);
  };

  const handle = (subject: string, bytes: Uint8Array): void => {
    const seconds = now() / 1000;
    if (seconds - tidiedAt > windowSeconds) {
      tidiedAt = seconds;
      forget(window, seconds, (sender, silence) =>
        options.pod === undefined
          ? silence > longestSilence
          : options.pod(sender.namespace, sender.pod) === undefined,
      );
    }
    const refused = take(subject, bytes, seconds);
    if (refused === undefined) {
      counts.taken += 1;
    } else {
      counts.refused += 1;
      options.refused?.(subject, refused);
    }
  };

  const routes = statisticsRoutes((seconds) => {
    const time = now();
    return { flows: joinFlows(readWindow(window, time / 1000, seconds)), time: new Date(time) };
  });
  return { handle, routes, counts };
}

/** What a message says of its pod against what is known of it. */
function contradiction(
  known: (namespace: string, name: string) => KnownPod | undefined,
  parsed: Exclude<ReturnType<typeof parseStatistics>, { readonly refused: string }>,
): string | undefined {
  const { namespace, pod: name, workload } = parsed.message;
  const pod = known(namespace, name);
  if (pod === undefined) {
    return `there is no pod ${namespace}/${name}`;
  }
  // Names reach a subject with their dots replaced, see `token` in src/wire/keys.ts.
  if (pod.serviceAccount.replaceAll(".", "_") !== parsed.serviceAccount) {
    return `pod ${namespace}/${name} has another service account`;
  }
  return pod.workload.kind === workload.kind && pod.workload.name === workload.name
    ? undefined
    : `pod ${namespace}/${name} belongs to ${pod.workload.kind}/${pod.workload.name}`;
}
