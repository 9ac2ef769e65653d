/**
 * The configuration of the NATS server: who may connect and what each may do. A user is a SPIFFE ID, taken from the
 * client's certificate; there are no passwords.
 *
 * Two accounts keep the store out of reach. A permission to publish does not cover the reply subject of a request:
 * the server would send the answer of a direct get wherever the asker says, and with one account that may be the
 * subject of another key, which the store would take for a new value. Across accounts the answer goes to the asker's
 * own account only, where nothing is stored. What is left is that a sidecar can have a value sent to those who follow
 * another key; such a message carries the header `Nats-Subject`, an update never does.
 */

import { bucket, directGetPrefix, inboxPrefix, keySubjectPrefix, token } from "../wire/keys.ts";
import { controllerServiceAccount, controlPlaneNamespace, spiffeId } from "../wire/sidecar.ts";
import { parseTrustDomain } from "./spiffe-id.ts";

export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

export interface NatsServerSettings {
  readonly listenHost: string;
  readonly port: number;
  /** Where JetStream keeps the bucket. */
  readonly storeDirectory: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly trustDomain: string;
  /** Of the control plane; default: that of local mode. */
  readonly namespace?: string;
  /** Those whose pods are meshed. */
  readonly serviceAccounts: readonly ServiceAccount[];
  /** Where the bucket lives; default: file. */
  readonly storage?: "file" | "memory";
  /** `host:port` of the HTTP monitor, which asks nobody who they are; absent: none. */
  readonly monitor?: string;
  /** Of all clients together; default 16384. */
  readonly maxConnections?: number;
}

/** The configuration cannot be written as asked. */
export class NatsConfigurationError extends Error {
  override readonly name = "NatsConfigurationError";
}

const controlPlaneAccount = "control-plane";
const sidecarsAccount = "sidecars";
const stream = `KV_${bucket}`;
const keySubjects = `${keySubjectPrefix}>`;
const directGets = `${directGetPrefix}>`;
const allStatistics = "statistics.>";
const namespacePattern = /^[a-z0-9-]+$/;

const mebibyte = 1024 * 1024;
const limits = {
  /** Largest value of a key: a Service of some 20,000 endpoints. */
  payload: 8 * mebibyte,
  /** Largest statistics message, from a pod that talks to some 2,000 workloads. */
  sidecarPayload: mebibyte,
  /** Keys that one sidecar follows. */
  sidecarSubscriptions: 32_768,
  /** Bytes waiting for one client before the server drops it; it reconnects and reads again. */
  pending: 16 * mebibyte,
  connections: 16_384,
  /** Bytes of all keys with their newest values. */
  store: 1024 * mebibyte,
};

/**
 * The configuration as text (nats-server reads JSON); equal input gives equal text, whatever its order. Service
 * accounts of the control plane's own namespace are left out: no sidecar has them, and one must not stand in for the
 * controller. Throws NatsConfigurationError and SpiffeIdError for a name that could mean more than itself.
 */
export function natsServerConfiguration(settings: NatsServerSettings): string {
  parseTrustDomain(settings.trustDomain);
  const namespace = settings.namespace ?? controlPlaneNamespace;
  const error = nameError(namespace, namespacePattern);
  if (error !== undefined) {
    throw error;
  }
  const configuration = {
    server_name: "nginx-mesh",
    host: settings.listenHost,
    port: settings.port,
    ...(settings.monitor === undefined ? {} : { http: settings.monitor }),
    tls: {
      cert_file: settings.certFile,
      key_file: settings.keyFile,
      ca_file: settings.caFile,
      verify_and_map: true,
      handshake_first: true,
      min_version: "1.3",
      // Hundreds of sidecars may start at once.
      timeout: 10,
    },
    max_connections: settings.maxConnections ?? limits.connections,
    max_payload: limits.payload,
    max_pending: limits.pending,
    // A client that does not read is dropped after this long.
    write_deadline: "10s",
    ping_interval: "30s",
    ping_max: 3,
    jetstream: {
      store_dir: settings.storeDirectory,
      max_memory_store: settings.storage === "memory" ? limits.store : 0,
      max_file_store: settings.storage === "memory" ? 0 : limits.store,
    },
    accounts: {
      [controlPlaneAccount]: controlPlane(settings.trustDomain, namespace),
      [sidecarsAccount]: sidecars(
        settings.trustDomain,
        settings.serviceAccounts.filter((account) => account.namespace !== namespace),
      ),
    },
  };
  return `${JSON.stringify(configuration, undefined, 2)}\n`;
}

function controlPlane(trustDomain: string, namespace: string): object {
  return {
    jetstream: "enabled",
    exports: [
      { stream: keySubjects, accounts: [sidecarsAccount] },
      { service: directGets, accounts: [sidecarsAccount] },
    ],
    imports: [{ stream: { account: sidecarsAccount, subject: allStatistics } }],
    users: [controller(trustDomain, namespace)],
  };
}

function sidecars(trustDomain: string, serviceAccounts: readonly ServiceAccount[]): object {
  const users = new Map(
    serviceAccounts.map((account) => sidecar(trustDomain, account)).map((user) => [user.user, user]),
  );
  return {
    limits: { max_payload: limits.sidecarPayload, max_subscriptions: limits.sidecarSubscriptions },
    exports: [{ stream: allStatistics, accounts: [controlPlaneAccount] }],
    imports: [
      { stream: { account: controlPlaneAccount, subject: keySubjects } },
      { service: { account: controlPlaneAccount, subject: directGets } },
    ],
    users: [...users.keys()].sort().map((user) => users.get(user)),
  };
}

function sidecar(trustDomain: string, account: ServiceAccount): { user: string; permissions: object } {
  const { namespace, name } = account;
  const error = accountError(account);
  if (error !== undefined) {
    throw error;
  }
  return {
    user: user(trustDomain, account),
    permissions: {
      publish: { allow: [directGets, `statistics.${namespace}.${token(name)}.>`] },
      subscribe: { allow: [keySubjects, `${inboxPrefix(namespace, name)}.>`] },
    },
  };
}

/** The controller makes the bucket, fills it, and reads statistics. */
function controller(trustDomain: string, namespace: string): object {
  const account = { namespace, name: controllerServiceAccount };
  const streamRequests = ["CREATE", "UPDATE", "INFO", "PURGE", "MSG.GET"];
  const consumerRequests = ["CREATE", "INFO", "DELETE", "MSG.NEXT"];
  return {
    user: user(trustDomain, account),
    permissions: {
      publish: {
        allow: [
          keySubjects,
          directGets,
          "$JS.API.INFO",
          ...streamRequests.map((request) => `$JS.API.STREAM.${request}.${stream}`),
          ...consumerRequests.map((request) => `$JS.API.CONSUMER.${request}.${stream}.>`),
          `$JS.API.DIRECT.GET.${stream}`,
          `$JS.ACK.${stream}.>`,
          `$JS.FC.${stream}.>`,
        ],
      },
      subscribe: { allow: [allStatistics, `${inboxPrefix(account.namespace, account.name)}.>`] },
    },
  };
}

function user(trustDomain: string, account: ServiceAccount): string {
  return spiffeId(trustDomain, account.namespace, account.name);
}

/** A dot, a star or an angle bracket in a name would give its holder the subjects of others. */
function nameError(name: string, pattern: RegExp): NatsConfigurationError | undefined {
  return pattern.test(name)
    ? undefined
    : new NatsConfigurationError(
        `${JSON.stringify(name)} is not the name of a Kubernetes namespace or service account`,
      );
}

/** Why the configuration cannot be written with this account; undefined: it can. */
export function accountError({ namespace, name }: ServiceAccount): NatsConfigurationError | undefined {
  return nameError(namespace, namespacePattern) ?? nameError(name, /^[a-z0-9.-]+$/);
}
