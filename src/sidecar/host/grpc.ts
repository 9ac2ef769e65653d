/**
 * Calls of gRPC through nginx: a location of an internal unix socket has `grpc_pass`, and answers in HTTP/1.1. A message
 * has its length before it (gRPC over HTTP/2, "Length-Prefixed-Message").
 */

const largestMessage = 1024 * 1024;

export interface GrpcCall {
  /** Internal unix socket of nginx. */
  readonly socket: string;
  readonly path: string;
  /** Lines with their ends. */
  readonly headers: string;
  readonly message: string;
  /** Milliseconds that the next bytes are waited for. */
  readonly patience: number;
}

function lengthPrefixed(message: string): string {
  const length = message.length;
  const [high, low] = [math.floor(length / 65536) % 256, math.floor(length / 256) % 256];
  return string.char(0, 0, high, low, length % 256) + message;
}

function requestOf(call: GrpcCall): string {
  return (
    `POST ${call.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc\r\nTE: trailers\r\n` +
    `${call.headers}Content-Length: ${call.message.length + 5}\r\n\r\n${lengthPrefixed(call.message)}`
  );
}

interface Header {
  /** Why no messages follow; undefined: they do. */
  readonly refused?: string;
  /** Bytes of the body; undefined: it comes in chunks. */
  readonly length?: number | undefined;
}

function readHeader(socket: TcpSocket): Header {
  const [status, failure] = socket.receive("*l");
  if (status === undefined) {
    return { refused: failure ?? "closed" };
  }
  let message = "";
  let length: number | undefined;
  for (;;) {
    const [line, error] = socket.receive("*l");
    if (line === undefined) {
      return { refused: error ?? "closed" };
    }
    if (line === "") {
      break;
    }
    const [found] = string.match(line, "^[Gg]rpc%-[Mm]essage: *(.*)$");
    message = found === undefined ? message : ngx.unescape_uri(found);
    // a server may say it, and nginx passes it on
    const [bytes] = string.match(line, "^[Cc]ontent%-[Ll]ength: *(%d+)$");
    length = bytes === undefined ? length : tonumber(bytes);
  }
  const [ok] = string.find(status, " 200 ", 1, true);
  if (ok === undefined) {
    return { refused: `it answered "${status}"` };
  }
  return message === "" ? { length } : { refused: `it answered "${message}"` };
}

const unusable = "a message is compressed or too large";

/** Hands on each whole message; what is left, or undefined when a message cannot be used. */
function handOn(bytes: string, handle: (message: string) => void): string | undefined {
  let pending = bytes;
  for (;;) {
    const [compressed, a, b, c, d] = string.byte(pending, 1, 5);
    if (d === undefined) {
      return pending;
    }
    const total = ((a! * 256 + b!) * 256 + c!) * 256 + d;
    if (compressed !== 0 || total > largestMessage) {
      return undefined;
    }
    if (pending.length < 5 + total) {
      return pending;
    }
    handle(string.sub(pending, 6, 5 + total));
    pending = string.sub(pending, 6 + total);
  }
}

/** Reads chunks (RFC 9112, section 7.1); returns why the stream ended. */
function readChunks(socket: TcpSocket, handle: (message: string) => void): string {
  let pending = "";
  for (;;) {
    const [size, sizeError] = socket.receive("*l");
    const length = size === undefined ? undefined : tonumber(size, 16);
    if (length === undefined || length === 0 || length > largestMessage) {
      return sizeError ?? "the stream ended";
    }
    const [chunk, chunkError] = socket.receive(length);
    if (chunk === undefined) {
      return chunkError ?? "closed";
    }
    socket.receive("*l");
    const left = handOn(pending + chunk, handle);
    if (left === undefined) {
      return unusable;
    }
    pending = left;
  }
}

/** Reads a body of known length; returns why there are no messages after it. */
function readBody(socket: TcpSocket, length: number, handle: (message: string) => void): string {
  if (length > largestMessage) {
    return unusable;
  }
  const [body, error] = socket.receive(length);
  if (body === undefined) {
    return error ?? "closed";
  }
  return handOn(body, handle) === undefined ? unusable : "the stream ended";
}

function readAnswer(socket: TcpSocket, handle: (message: string) => void): string {
  const { refused, length } = readHeader(socket);
  if (refused !== undefined) {
    return refused;
  }
  return length === undefined ? readChunks(socket, handle) : readBody(socket, length, handle);
}

/** Calls and hands on each message of the answer; returns why there are no more. */
export function callGrpc(call: GrpcCall, handle: (message: string) => void): string {
  const socket = ngx.socket.tcp();
  socket.settimeouts(2000, 2000, call.patience);
  const [connected, connectError] = socket.connect(call.socket);
  if (connected === undefined) {
    return connectError ?? "cannot connect";
  }
  const [sent, sendError] = socket.send(requestOf(call));
  const end = sent === undefined ? (sendError ?? "cannot send") : readAnswer(socket, handle);
  socket.close();
  return end;
}
