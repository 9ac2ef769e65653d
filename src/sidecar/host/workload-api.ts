/**
 * Client of the SPIFFE Workload API ("SPIFFE Workload API" standard, X.509-SVID profile). The stream is opened
 * through nginx itself (a server on a unix socket with `grpc_pass`), so it is the worker's process that the agent
 * attests, and the key goes from the agent's socket to OpenSSL without being written anywhere.
 */
import { callGrpc } from "./grpc.ts";
import { fieldsOf } from "./protobuf.ts";

const native = require("mesh.native");

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

function session(state: IdentityState, onUpdate: () => void): string {
  const call = {
    socket: "unix:/run/nginx-mesh/workload-api.sock",
    path: "/SpiffeWorkloadAPI/FetchX509SVID",
    headers: "workload.spiffe.io: true\r\n",
    message: "",
    // the stream is silent for half an SVID's life
    patience: 2_000_000_000,
  };
  return callGrpc(call, (message) => {
    use(state, message);
    onUpdate();
  });
}

/** How the next stream ended; an error in what it does ends only it. */
function sessionEnd(state: IdentityState, onUpdate: () => void): string {
  try {
    return session(state, onUpdate);
  } catch (error) {
    return `${error as string}`;
  }
}

/** Follows the Workload API as long as the worker runs. */
export function followIdentity(state: IdentityState, onUpdate: () => void): void {
  let pause = 0.05;
  while (!ngx.worker.exiting()) {
    const updates = state.updates;
    const end = sessionEnd(state, onUpdate);
    if (state.updates > updates) {
      pause = 0.05;
    }
    state.error = `SPIFFE Workload API: ${end}`;
    ngx.log(ngx.WARN, `mesh: ${state.error}; trying again in ${pause} s`);
    ngx.sleep(pause);
    pause = pause * 2 > 5 ? 5 : pause * 2;
  }
}
