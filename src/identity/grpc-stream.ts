/**
 * A gRPC call that is answered with a stream, over a unix socket and Node's own HTTP/2 (gRPC over HTTP2, "Protocol";
 * messages are not compressed). The controller makes this one call: with @grpc/grpc-js its RSS is 4 to 18 MiB larger.
 */

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { createConnection } from "node:net";

export interface GrpcCall {
  readonly socketPath: string;
  /** `/package.Service/Method`; the request is an empty message. */
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface GrpcStream {
  cancel(): void;
}

/** The call ended with a status, or the connection did without one. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
}

/** Bytes; a bundle of hundreds of certificates is smaller. */
const largestMessage = 4 * 1024 * 1024;
/** Flag of compression and length. */
const prefixLength = 5;
const emptyMessage = Buffer.alloc(prefixLength);

/** Takes chunks, gives whole messages; throws GrpcError for a prefix that cannot be. */
function messages(onMessage: (message: Uint8Array) => void): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0);
  return (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= prefixLength) {
      const length = pending.readUInt32BE(1);
      if (pending[0] !== 0 || length > largestMessage) {
        throw new GrpcError("the answer has a message that is compressed or too large");
      }
      if (pending.length < prefixLength + length) {
        return;
      }
      onMessage(pending.subarray(prefixLength, prefixLength + length));
      pending = pending.subarray(prefixLength + length);
    }
  };
}

function statusError(headers: Readonly<Record<string, unknown>>): GrpcError {
  const status = headers["grpc-status"] ?? `HTTP ${String(headers[":status"])}`;
  const message = headers["grpc-message"];
  const text = typeof message === "string" ? decode(message) : "";
  return new GrpcError(`the call ended with status ${String(status)}${text === "" ? "" : `: ${text}`}`);
}

function decode(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

function request(session: ClientHttp2Session, call: GrpcCall): ClientHttp2Stream {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: call.method,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    [constants.HTTP2_HEADER_TE]: "trailers",
    ...call.headers,
  });
  stream.end(emptyMessage);
  return stream;
}

/** Calls `onMessage` for each message, and `onEnd` once with the reason of the end, unless it was cancelled. */
export function callStream(
  call: GrpcCall,
  onMessage: (message: Uint8Array) => void,
  onEnd: (error: GrpcError) => void,
): GrpcStream {
  const session = connect("http://localhost", {
    createConnection: () => createConnection(call.socketPath),
  });
  let ended = false;
  const end = (error: GrpcError | undefined): void => {
    if (!ended) {
      ended = true;
      session.destroy();
      if (error !== undefined) {
        onEnd(error);
      }
    }
  };
  const broken = (error: Error): void => end(new GrpcError(error.message, { cause: error }));
  const take = messages(onMessage);
  const stream = request(session, call);
  stream.on("data", (chunk: Buffer) => {
    try {
      take(chunk);
    } catch (error) {
      broken(error as Error);
    }
  });
  let answer: Readonly<Record<string, unknown>> = {};
  stream.on("response", (headers) => (answer = { ...headers }));
  stream.on("trailers", (trailers) => end(statusError({ ...answer, ...trailers })));
  stream.on("end", () => {
    // an answer without messages has its status in the first headers
    setImmediate(() => end(statusError(answer)));
  });
  stream.on("error", broken);
  session.on("error", broken);
  session.on("close", () => end(new GrpcError("the connection was closed")));
  return { cancel: () => end(undefined) };
}
