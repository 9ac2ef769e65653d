/** The controller's connection to NATS: the configuration goes out, statistics come in. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { natsConnectionOptions } from "../identity/nats-client.ts";
import type { WorkloadIdentity } from "../identity/workload-client.ts";
import { statisticsSubjects } from "../metrics/statistics.ts";
import type { BucketStorage } from "../publish/bucket.ts";
import { createPublisher, type Publication, type PublisherState } from "../publish/publisher.ts";
import { controllerServiceAccount } from "../wire/sidecar.ts";

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

/** Connects in the background and stays connected until closed. */
export function openNatsLink(options: NatsLinkOptions): NatsLink {
  let newest: Publication | undefined;
  let connection: NatsConnection | undefined;
  let publisher: ReturnType<typeof createPublisher> | undefined;
  let connected = false;
  let closed = false;

  const follow = async (link: NatsConnection): Promise<void> => {
    for await (const status of link.status()) {
      if (status.type === "disconnect") {
        connected = false;
        publisher?.disconnected();
        options.onWarning("the connection to NATS is lost; sidecars go on with what they have");
      } else if (status.type === "reconnect") {
        connected = true;
        publisher?.reconnected();
        options.onInfo("connected to NATS again");
      } else if (status.type === "error") {
        options.onWarning(`NATS: ${status.error.message}`);
      }
    }
  };

  const open = async (): Promise<void> => {
    await options.ready;
    const { server, trustDomain, namespace, identity } = options;
    const link = await connect(
      natsConnectionOptions({
        server,
        trustDomain,
        ...(namespace === undefined ? {} : { namespace }),
        serviceAccount: controllerServiceAccount,
        identity,
      }),
    );
    if (closed) {
      await link.close();
      return;
    }
    connection = link;
    connected = true;
    options.onInfo(`connected to NATS at ${server}`);
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
      await publisher?.close();
      await connection?.close();
    },
  };
}
