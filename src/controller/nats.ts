/** The controller's connection to NATS: the configuration goes out, statistics come in. */
import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";
import { natsConnectionOptions } from "../identity/nats-client.ts";
import type { WorkloadIdentity } from "../identity/workload-client.ts";
import { statisticsSubjects } from "../metrics/statistics.ts";
import type { BucketStorage } from "../publish/bucket.ts";
import { createPublisher, type Publication, type PublisherState } from "../publish/publisher.ts";
import { controllerServiceAccount } from "../wire/sidecar.ts";
import { watchReason } from "./nats-reason.ts";

export interface NatsLinkOptions {
  /** `host:port`. */
  readonly server: string;
  readonly trustDomain: string;
  /** Namespace of the control plane; default: that of local mode. */
  readonly namespace?: string;
  readonly storage?: BucketStorage;
  /** Resolves when there is an identity. */
  readonly ready: Promise<unknown>;
  readonly identity: () => WorkloadIdentity;
  onStatistics(subject: string, bytes: Uint8Array): void;
  /** A sentence for the log. */
  onInfo(message: string): void;
  onWarning(message: string): void;
  /** Milliseconds until it is said why there is no connection; default: those of `watchReason`. */
  readonly firstReason?: number;
}

export interface NatsLink {
  /** Publishes as soon as there is a connection. */
  publish(publication: Publication): void;
  /** Publishes nothing more until asked again. */
  withdraw(): void;
  connected(): boolean;
  publisher(): PublisherState | undefined;
  close(): Promise<void>;
}

async function readStatistics(connection: NatsConnection, options: NatsLinkOptions): Promise<void> {
  for await (const message of connection.subscribe(statisticsSubjects)) {
    options.onStatistics(message.subject, message.data);
  }
}

function connectionOptions(options: NatsLinkOptions): NodeConnectionOptions {
  const { server, trustDomain, namespace, identity } = options;
  return natsConnectionOptions({
    server,
    trustDomain,
    ...(namespace === undefined ? {} : { namespace }),
    serviceAccount: controllerServiceAccount,
    identity,
  });
}

/** Beside the client, which does not say why its attempts fail. */
async function tryOnce(options: NatsLinkOptions): Promise<void> {
  const once = { waitOnFirstConnect: false, reconnect: false, timeout: 5_000 };
  const link = await connect({ ...connectionOptions(options), ...once });
  await link.close();
}

/** Connects in the background and stays connected until closed. */
export function openNatsLink(options: NatsLinkOptions): NatsLink {
  let newest: Publication | undefined;
  let connection: NatsConnection | undefined;
  let publisher: ReturnType<typeof createPublisher> | undefined;
  let connected = false;
  let closed = false;
  const reason = watchReason({
    attempt: () => tryOnce(options),
    onReason: (why) =>
      options.onWarning(`cannot connect to NATS at ${options.server}: ${why}; it is tried again and again`),
    ...(options.firstReason === undefined ? {} : { firstPause: options.firstReason }),
  });

  const follow = async (link: NatsConnection): Promise<void> => {
    for await (const status of link.status()) {
      if (status.type === "disconnect") {
        connected = false;
        reason.begin();
        publisher?.disconnected();
        options.onWarning("the connection to NATS is lost; sidecars go on with what they have");
      } else if (status.type === "reconnect") {
        connected = true;
        reason.end();
        publisher?.reconnected();
        options.onInfo("connected to NATS again");
      } else if (status.type === "error") {
        options.onWarning(`NATS: ${status.error.message}`);
      }
    }
  };

  const open = async (): Promise<void> => {
    await options.ready;
    reason.begin();
    const link = await connect(connectionOptions(options));
    reason.end();
    if (closed) {
      await link.close();
      return;
    }
    connection = link;
    connected = true;
    options.onInfo(`connected to NATS at ${options.server}`);
    publisher = createPublisher({
      connection: link,
      ...(options.storage === undefined ? {} : { storage: options.storage }),
      now: Date.now,
      onError: (error) => options.onWarning(error.message),
    });
    if (newest !== undefined) {
      publisher.publish(newest);
    }
    await Promise.all([follow(link), readStatistics(link, options)]);
  };
  void open().catch((error: unknown) => options.onWarning(`NATS: ${(error as Error).message}`));

  return {
    publish(publication) {
      newest = publication;
      publisher?.publish(publication);
    },
    withdraw() {
      newest = undefined;
      publisher?.withdraw();
    },
    connected: () => connected,
    publisher: () => publisher?.state(),
    async close() {
      closed = true;
      reason.end();
      await publisher?.close();
      await connection?.close();
    },
  };
}
