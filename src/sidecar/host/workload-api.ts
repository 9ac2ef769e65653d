/**
 * Client of the SPIFFE Workload API ("SPIFFE Workload API" standard, X.509-SVID profile). The stream is opened
 * through nginx itself (a server on a unix socket with `grpc_pass`), so it is the worker's process that the agent
 * attests, and the key goes from the agent's socket to OpenSSL without being written anywhere.
 */
import { fieldsOf } from "./protobuf.ts";

const native = require("mesh.native");

/** Bytes of one response; an SVID with a long chain and several bundles stays far below. */
const largestMessage = 1024 * 1024;

export interface IdentityState {
  spiffeId: string;
  /** Unix seconds; 0 before the first SVID. */
  expiresAt: number;
  updatedAt: number;
  updates: number;
  error: string;
}

interface Svid {
  spiffeId: string;
  chain: string;
  key: string;
  bundle: string;
}

function firstSvid(message: string): Svid | undefined {
  const fields = fieldsOf(message);
  for (let i = 0; fields !== undefined && i < fields.length; i++) {
    if (fields[i]!.number === 1) {
      return readSvid(fields[i]!.bytes);
    }
  }
  return undefined;
}

function readSvid(bytes: string): Svid | undefined {
  const svid: Svid = { spiffeId: "", chain: "", key: "", bundle: "" };
  const fields = fieldsOf(bytes);
  if (fields === undefined) {
    return undefined;
  }
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if (field.number === 1) {
      svid.spiffeId = field.bytes;
    } else if (field.number === 2) {
      svid.chain = field.bytes;
    } else if (field.number === 3) {
      svid.key = field.bytes;
    } else if (field.number === 4) {
      svid.bundle = field.bytes;
    }
  }
  return svid.spiffeId !== "" && svid.chain !== "" && svid.key !== "" && svid.bundle !== ""
    ? svid
    : undefined;
}

function trustDomainOf(spiffeId: string): string {
  const [domain] = string.match(spiffeId, "^spiffe://([^/]+)/");
  return domain ?? "";
}

let bundleInForce = "";

function use(state: IdentityState, message: string): void {
  const svid = firstSvid(message);
  if (svid === undefined) {
    state.error = "the Workload API sent a response that cannot be read";
    return;
  }
  if (!native.svid(svid.chain, svid.key)) {
    state.error = `the SVID of "${svid.spiffeId}" cannot be used: certificate and key do not fit`;
    return;
  }
  // a new bundle ends the resumption of sessions, so only a changed one is set
  if (svid.bundle !== bundleInForce) {
    if (!native.bundle(svid.bundle, trustDomainOf(svid.spiffeId))) {
      state.error = "the trust bundle cannot be read";
      return;
    }
    bundleInForce = svid.bundle;
  }
  state.spiffeId = svid.spiffeId;
  state.expiresAt = native.expiry(svid.chain) ?? 0;
  state.updatedAt = ngx.time();
  state.updates = state.updates + 1;
  state.error = "";
}

const request =
  "POST /SpiffeWorkloadAPI/FetchX509SVID HTTP/1.1\r\n" +
  "Host: localhost\r\n" +
  "Content-Type: application/grpc\r\n" +
  "TE: trailers\r\n" +
  "workload.spiffe.io: true\r\n" +
  "Content-Length: 5\r\n" +
  "\r\n" +
  "\0\0\0\0\0";

/** Reads the header; "" when the stream begins, else why it does not. */
function readHeader(socket: TcpSocket): string {
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
    const [found] = string.match(string.lower(line), "^grpc%-message: *(.*)$");
    message = found ?? message;
  }
  const [ok] = string.find(status, " 200 ", 1, true);
  if (ok === undefined) {
    return `the agent answered "${status}"`;
  }
  return message === "" ? "" : `the agent answered "${message}"`;
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

function session(state: IdentityState, onUpdate: () => void): string {
  const socket = ngx.socket.tcp();
  // the stream is silent for half an SVID's life
  socket.settimeouts(2000, 2000, 2_000_000_000);
  const [connected, connectError] = socket.connect("unix:/run/nginx-mesh/workload-api.sock");
  if (connected === undefined) {
    return connectError ?? "cannot connect";
  }
  let end: string;
  const [sent, sendError] = socket.send(request);
  if (sent === undefined) {
    end = sendError ?? "cannot send";
  } else {
    end = readHeader(socket);
    if (end === "") {
      end = readMessages(socket, (message) => {
        use(state, message);
        onUpdate();
      });
    }
  }
  socket.close();
  return end;
}

/** Follows the Workload API as long as the worker runs. */
export function followIdentity(state: IdentityState, onUpdate: () => void): void {
  let pause = 0.05;
  while (!ngx.worker.exiting()) {
    const updates = state.updates;
    const end = session(state, onUpdate);
    if (state.updates > updates) {
      pause = 0.05;
    }
    state.error = `SPIFFE Workload API: ${end}`;
    ngx.log(ngx.WARN, `mesh: ${state.error}; trying again in ${pause} s`);
    ngx.sleep(pause);
    pause = pause * 2 > 5 ? 5 : pause * 2;
  }
}
