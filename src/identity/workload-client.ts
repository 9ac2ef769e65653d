/** A client of the SPIFFE Workload API for the mesh's own programs: follows the process's identity. */

import { X509Certificate } from "node:crypto";
import type { Svid } from "./authority.ts";
import { splitDer } from "./der.ts";
import { callStream, type GrpcStream } from "./grpc-stream.ts";
import { Secret } from "./secret.ts";
import { decodeX509SvidResponse } from "./workload-decoding.ts";
import { securityHeader, serviceName, type X509SvidResponse } from "./workload-protocol.ts";

/** An SVID and the certificates (DER) to verify others of its trust domain against. */
export interface WorkloadIdentity extends Svid {
  readonly bundle: readonly Uint8Array[];
}

export interface IdentityWatch {
  /** The first identity that arrives; it never rejects, as the client tries until it is closed. */
  readonly first: Promise<WorkloadIdentity>;
  /** The newest identity. */
  current(): WorkloadIdentity | undefined;
  close(): void;
}

/** Why the Workload API gave no identity. */
export class WorkloadClientError extends Error {
  override readonly name = "WorkloadClientError";
}

const firstDelay = 100;
const longestDelay = 5_000;
/**
 * Follows the default identity at a Workload API socket, for as long as it is not closed: calls `onIdentity` with
 * each new SVID or bundle, and `onError` for each failed attempt (the next follows with back-off, and the last
 * identity stays).
 */
export function watchSvid(
  socketPath: string,
  onIdentity: (identity: WorkloadIdentity) => void,
  onError: (error: WorkloadClientError) => void = () => undefined,
): IdentityWatch {
  const first = Promise.withResolvers<WorkloadIdentity>();
  let current: WorkloadIdentity | undefined;
  let stream: GrpcStream | undefined;
  let retry: NodeJS.Timeout | undefined;
  let delay = firstDelay;
  let closed = false;

  const failed = (reason: string, cause?: unknown): void => {
    onError(new WorkloadClientError(`cannot get an identity from ${socketPath}: ${reason}`, { cause }));
  };
  const receive = (message: Uint8Array): void => {
    try {
      current = readIdentity(decodeX509SvidResponse(message));
    } catch (error) {
      failed((error as Error).message, error);
      return;
    }
    delay = firstDelay;
    first.resolve(current);
    onIdentity(current);
  };
  const ended = (error: Error): void => {
    if (!closed) {
      failed(error.message, error);
      retry = setTimeout(connect, delay * (0.5 + Math.random() / 2));
      delay = Math.min(delay * 2, longestDelay);
    }
  };
  const connect = (): void => {
    const headers = { [securityHeader]: "true" };
    stream = callStream({ socketPath, method: `/${serviceName}/FetchX509SVID`, headers }, receive, ended);
  };
  connect();
  return {
    first: first.promise,
    current: () => current,
    close() {
      closed = true;
      clearTimeout(retry);
      stream?.cancel();
    },
  };
}

/** The first SVID of a response is the default identity (section 5.3); throws when a mandatory field is missing or unreadable. */
function readIdentity(response: X509SvidResponse): WorkloadIdentity {
  const svid = response.svids[0];
  const certificates = svid === undefined ? [] : splitDer(svid.x509Svid);
  const [leaf] = certificates;
  if (svid === undefined || leaf === undefined || svid.x509SvidKey.length === 0 || svid.bundle.length === 0) {
    throw new Error("the answer lacks the SVID, its key or the bundle");
  }
  return {
    spiffeId: svid.spiffeId,
    certificates,
    key: new Secret(svid.x509SvidKey),
    notAfter: new X509Certificate(leaf).validToDate,
    bundle: splitDer(svid.bundle),
  };
}
