/**
 * A SPIFFE Workload API server whose socket says who asks: whoever can reach the socket has its identity. Each pod
 * gets a socket of its own. One costs some 25 kB, and 170 kB while its SVID is followed (measured with 200 of each).
 */

import { Server, ServerCredentials, type ServerWritableStream, status } from "@grpc/grpc-js";
import { chmod, chown, lstat, rm } from "node:fs/promises";
import type { Authority, Svid } from "./authority.ts";
import { concatenateDer } from "./der.ts";
import { parseSpiffeId } from "./spiffe-id.ts";
import { createSvidSource } from "./svid-source.ts";
import {
  securityHeader,
  workloadService,
  type X509BundlesResponse,
  type X509SvidResponse,
} from "./workload-service.ts";

export interface WorkloadApiOptions {
  /** At most 107 bytes, as the kernel has it (unix(7)). */
  readonly socketPath: string;
  /** Default 0600. */
  readonly socketMode?: number;
  /** Default: the user of this process. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** SPIFFE ID of whoever connects. */
  readonly identity: string;
  readonly authority: Authority;
  readonly svidTtlSeconds: number;
  /** DNS names for the next SVID; default: none. */
  readonly dnsNames?: () => readonly string[];
  /** Called when an SVID cannot be issued; it is tried again. Default: a process warning. */
  readonly onError?: (error: Error) => void;
}

export interface WorkloadApiServer {
  /** Ends all streams and removes the socket. */
  close(): Promise<void>;
  /** Replaces the SVID now and sends it to all who follow. */
  rotateNow(): Promise<void>;
}

/** The socket cannot be served. */
export class WorkloadApiError extends Error {
  override readonly name = "WorkloadApiError";
}

type Stream<T> = ServerWritableStream<object, T>;
type SvidStream = Stream<X509SvidResponse>;
type BundleStream = Stream<X509BundlesResponse>;

const longestSocketPath = 107;
/** Requests are empty; no workload needs many streams. */
const limits = { "grpc.max_receive_message_length": 4096, "grpc.max_concurrent_streams": 32 };

/** Serves until closed. Throws SpiffeIdError for the identity, WorkloadApiError for the socket. */
export async function serveWorkloadApi(options: WorkloadApiOptions): Promise<WorkloadApiServer> {
  parseSpiffeId(options.identity);
  const { authority } = options;
  const svidStreams = new Set<SvidStream>();
  const bundleStreams = new Set<BundleStream>();
  const sendSvid = (svid: Svid, streams: Iterable<SvidStream>): void =>
    send(svidResponse(svid, authority), streams);
  const source = createSvidSource({
    authority,
    spiffeId: options.identity,
    ttlSeconds: options.svidTtlSeconds,
    ...(options.dnsNames === undefined ? {} : { dnsNames: options.dnsNames }),
    onRenewed: (svid) => sendSvid(svid, svidStreams),
    onError: options.onError ?? process.emitWarning,
  });
  const sendBundle = (streams: Iterable<BundleStream>): void => send(bundlesResponse(authority), streams);

  const server = new Server(limits);
  server.addService(workloadService, {
    FetchX509SVID: accept<SvidStream>((stream) => {
      follow(stream, svidStreams, () => source.setFollowed(svidStreams.size > 0));
      void source.current().then(
        (svid) => sendSvid(svid, [stream]),
        (error) => refuse(stream, error, options),
      );
    }),
    FetchX509Bundles: accept<BundleStream>((stream) => {
      follow(stream, bundleStreams, () => undefined);
      sendBundle([stream]);
    }),
    ...jwtMethods,
  });
  const stopWatching = authority.onChange(() => {
    sendBundle(bundleStreams);
    if (svidStreams.size > 0) {
      void source.current().then(
        (svid) => sendSvid(svid, svidStreams),
        () => undefined,
      );
    }
  });
  await listen(server, options);

  return {
    rotateNow: () => source.renew(),
    close: async () => {
      stopWatching();
      source.close();
      server.forceShutdown();
      await removeSocket(options.socketPath);
    },
  };
}

function svidResponse(svid: Svid, authority: Authority): X509SvidResponse {
  return {
    svids: [
      {
        spiffeId: svid.spiffeId,
        x509Svid: concatenateDer(svid.certificates),
        x509SvidKey: svid.key.reveal(),
        bundle: concatenateDer(authority.bundle()),
      },
    ],
  };
}

function bundlesResponse(authority: Authority): X509BundlesResponse {
  return { bundles: { [`spiffe://${authority.trustDomain}`]: concatenateDer(authority.bundle()) } };
}

/** Lets only requests through that carry the security header. */
function accept<T extends SvidStream | BundleStream>(handle: (stream: T) => void): (stream: T) => void {
  return (stream) => {
    if (stream.metadata.get(securityHeader)[0] === "true") {
      handle(stream);
      return;
    }
    stream.emit("error", {
      code: status.INVALID_ARGUMENT,
      details: `the request lacks the header ${securityHeader}: true`,
    });
  };
}

function follow<T extends SvidStream | BundleStream>(stream: T, streams: Set<T>, onCount: () => void): void {
  const leave = (): void => {
    if (streams.delete(stream)) {
      onCount();
    }
  };
  streams.add(stream);
  onCount();
  stream.on("cancelled", leave).on("close", leave).on("error", leave);
}

/** A reader that does not read gets the newest message when it goes on, not all that it missed. */
function send<T>(message: T, streams: Iterable<Stream<T>>): void {
  for (const stream of streams) {
    stream.removeAllListeners("drain");
    if (stream.writableNeedDrain) {
      stream.once("drain", () => stream.write(message));
    } else {
      stream.write(message);
    }
  }
}

function refuse(stream: SvidStream, error: Error, options: WorkloadApiOptions): void {
  (options.onError ?? process.emitWarning)(error);
  stream.emit("error", { code: status.UNAVAILABLE, details: `no SVID can be issued now: ${error.message}` });
}

type Unary = (call: unknown, answer: (error: { code: status; details: string }) => void) => void;

const noJwt = { code: status.UNIMPLEMENTED, details: "this Workload API serves X.509-SVIDs, not JWT-SVIDs" };
const refuseUnary: Unary = (_call, answer) => answer(noJwt);
const jwtMethods = {
  FetchJWTSVID: refuseUnary,
  ValidateJWTSVID: refuseUnary,
  FetchJWTBundles: (stream: Stream<object>) => void stream.emit("error", noJwt),
};

async function listen(server: Server, options: WorkloadApiOptions): Promise<void> {
  const { socketPath } = options;
  if (Buffer.byteLength(socketPath) > longestSocketPath) {
    throw new WorkloadApiError(
      `the socket path ${socketPath} is longer than ${longestSocketPath} bytes: use a shorter state folder`,
    );
  }
  try {
    await removeSocket(socketPath);
    await bind(server, socketPath);
    // Until here only this process's own user can connect: that takes write permission, which the usual umask denies.
    if (options.owner !== undefined) {
      await chown(socketPath, options.owner.uid, options.owner.gid);
    }
    await chmod(socketPath, options.socketMode ?? 0o600);
  } catch (error) {
    server.forceShutdown();
    throw new WorkloadApiError(`cannot serve the Workload API on ${socketPath}`, { cause: error });
  }
}

function bind(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) {
        resolve();
      } else {
        reject(error);
      }
    });
  });
}

/** Removes what a killed process left; throws for anything but a socket. */
async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) {
    return;
  }
  if (!found.isSocket()) {
    throw new WorkloadApiError("something that is not a socket is in its place");
  }
  await rm(path, { force: true });
}
