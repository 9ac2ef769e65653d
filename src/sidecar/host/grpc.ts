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

/** Reads the header; undefined when messages follow, else why they do not. */
function readHeader(socket: TcpSocket): string | undefined {
  const [status, failure] = socket.receive("*l");
  if (status === undefined) {
    return failure ?? "closed";
  }
  let message = "";
  for (;;) {
    const [line, error] = socket.receive("*l");
    if (line === undefined) {
      return error ?? "closed";
    }
    if (line === "") {
      break;
    }
    const [found] = string.match(line, "^[Gg]rpc%-[Mm]essage: *(.*)$");
    message = found === undefined ? message : ngx.unescape_uri(found);
  }
  const [ok] = string.find(status, " 200 ", 1, true);
  if (ok === undefined) {
    return `it answered "${status}"`;
  }
  return message === "" ? undefined : `it answered "${message}"`;
}

/** Reads chunks (RFC 9112, section 7.1) and hands on each whole gRPC message; returns why the stream ended. */
function readMessages(socket: TcpSocket, handle: (message: string) => void): string {
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
    pending = pending + chunk;
    for (;;) {
      const [compressed, a, b, c, d] = string.byte(pending, 1, 5);
      if (d === undefined) {
        break;
      }
      const total = ((a! * 256 + b!) * 256 + c!) * 256 + d;
      if (compressed !== 0 || total > largestMessage) {
        return "a message is compressed or too large";
      }
      if (pending.length < 5 + total) {
        break;
      }
      handle(string.sub(pending, 6, 5 + total));
      pending = string.sub(pending, 6 + total);
    }
  }
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
  const end =
    sent === undefined ? (sendError ?? "cannot send") : (readHeader(socket) ?? readMessages(socket, handle));
  socket.close();
  return end;
}
