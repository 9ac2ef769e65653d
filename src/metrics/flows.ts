/** Edges as the sidecars of both ends count them → flows from a party to a party, each request in one of them. */
import { token } from "../wire/keys.ts";
import { externalKind, type Protocol, type WorkloadReference } from "../wire/messages.ts";
import type { EdgeWindow, Sender } from "./window.ts";

/** One end of a flow, as far as it is known. */
export interface Party {
  readonly namespace: string;
  /** Absent for a caller that sends no statistics, and for a destination without an endpoint. */
  readonly workload?: WorkloadReference;
  readonly pod?: string;
  readonly serviceAccount?: string;
  /** `namespace/name` of a Service whose endpoint is no pod, or of which none could be chosen. */
  readonly service?: string;
}

export interface Flow {
  readonly source: Party;
  readonly destination: Party;
  readonly protocol: Protocol;
  readonly mtls: boolean;
  readonly total: number;
  readonly failures: number;
  /** By `latencyBuckets`. */
  readonly latency: readonly number[];
}

/**
 * The sender of a request knows both workloads, and also of requests that never arrived, so its count is taken. The
 * receiver's count, which knows the caller's service account only, is taken where no pod of that account reported
 * requests to this pod: callers outside the mesh, or without connection to NATS.
 */
export function joinFlows(windows: readonly EdgeWindow[]): Flow[] {
  const sent = windows.filter((window) => window.edge.direction === "to").map(sentFlow);
  const reported = new Set(sent.map((flow) => meeting(flow.source, flow.destination)));
  const received = windows
    .filter((window) => window.edge.direction === "from")
    .map(receivedFlow)
    .filter((flow) => !reported.has(meeting(flow.source, flow.destination)));
  return [...sent, ...received];
}

/** A sender's service account is known from its subject, where it is a token. */
function meeting(source: Party, destination: Party): string {
  const caller = token(source.serviceAccount ?? "");
  return `${source.namespace}/${caller} ${destination.namespace}/${destination.pod ?? ""}`;
}

function sentFlow(window: EdgeWindow): Flow {
  const { workload, service, pod } = window.edge;
  const destination: Party =
    workload === undefined || workload.kind === externalKind
      ? {
          namespace: service?.split("/")[0] ?? "",
          ...(service === undefined || service === "" ? {} : { service }),
        }
      : { namespace: workload.namespace, workload, ...(pod === undefined ? {} : { pod }) };
  return flow(window, senderParty(window.sender), destination);
}

function receivedFlow(window: EdgeWindow): Flow {
  return flow(window, identityParty(window.edge.identity ?? ""), senderParty(window.sender));
}

function flow(window: EdgeWindow, source: Party, destination: Party): Flow {
  const { total, failures, latency, edge } = window;
  return { source, destination, protocol: edge.protocol, mtls: edge.mtls, total, failures, latency };
}

function senderParty(sender: Sender): Party {
  const { namespace, workload, pod, serviceAccount } = sender;
  return { namespace, workload, pod, serviceAccount };
}

function identityParty(identity: string): Party {
  const match = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity);
  return match === null ? { namespace: "" } : { namespace: match[1] ?? "", serviceAccount: match[2] ?? "" };
}
