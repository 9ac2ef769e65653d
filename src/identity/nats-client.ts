/** How the control plane's own programs connect to the NATS server. */

import type { NodeConnectionOptions } from "@nats-io/transport-node";
import type { PeerCertificate, TLSSocketOptions } from "node:tls";
import { inboxPrefix } from "../wire/keys.ts";
import { controlPlaneNamespace, natsServiceAccount, spiffeId } from "../wire/sidecar.ts";
import { certificatesToPem, privateKeyToPem } from "./der.ts";
import type { WorkloadIdentity } from "./workload-client.ts";

export interface NatsClientSettings {
  /** `host:port`. */
  readonly server: string;
  readonly trustDomain: string;
  /** Namespace of the control plane; default: that of local mode. */
  readonly namespace?: string;
  /** Service account of this program, in that namespace. */
  readonly serviceAccount: string;
  /** Asked at each attempt to connect, so that a reconnect uses the newest SVID and bundle. */
  readonly identity: () => WorkloadIdentity;
}

type TlsSettings = NonNullable<NodeConnectionOptions["tls"]> &
  Pick<TLSSocketOptions, "minVersion" | "ca"> & {
    checkServerIdentity(host: string, certificate: PeerCertificate): Error | undefined;
  };

/**
 * Options for `connect` of @nats-io/transport-node, which tries for ever. The transport reads `cert`, `key` and `ca`
 * anew at each attempt and hands the rest to `tls.connect`; the server must present the SPIFFE ID of the NATS server.
 */
export function natsConnectionOptions(settings: NatsClientSettings): NodeConnectionOptions {
  const namespace = settings.namespace ?? controlPlaneNamespace;
  const expected = spiffeId(settings.trustDomain, namespace, natsServiceAccount);
  const tls: TlsSettings = {
    handshakeFirst: true,
    minVersion: "TLSv1.3",
    get cert() {
      return certificatesToPem(settings.identity().certificates);
    },
    get key() {
      return privateKeyToPem(settings.identity().key.reveal());
    },
    get ca() {
      return certificatesToPem(settings.identity().bundle);
    },
    checkServerIdentity: (_host, certificate) => checkSpiffeId(certificate, expected),
  };
  return {
    servers: settings.server,
    name: settings.serviceAccount,
    inboxPrefix: inboxPrefix(namespace, settings.serviceAccount),
    tls,
    ignoreClusterUpdates: true,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitterTLS: 250,
    // The transport gives up on a user that was refused twice; permissions may come later here.
    ignoreAuthErrorAbort: true,
    pingInterval: 10_000,
    maxPingOut: 2,
  };
}

/**
 * Checks that the only URI among the names is the expected SPIFFE ID (X509-SVID, section 2: exactly one URI). SPIRE adds the DNS
 * names of the pod's Services, which mean nothing here.
 */
export function checkSpiffeId(
  certificate: Pick<PeerCertificate, "subjectaltname">,
  expected: string,
): Error | undefined {
  const names = certificate.subjectaltname ?? "";
  // Node quotes a name that has what could be taken for the next one; no name of an SVID does.
  const uris = names.includes('"') ? [] : names.split(", ").filter((name) => name.startsWith("URI:"));
  return uris.length === 1 && uris[0] === `URI:${expected}`
    ? undefined
    : new Error(`the NATS server presents ${names === "" ? "no name" : names}, not ${expected}`);
}
