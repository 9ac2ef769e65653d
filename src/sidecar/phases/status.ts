/** Port 8886: the state of this sidecar as JSON; status 200 when it is ready for traffic, else 503. */
import { completeKey } from "../../wire/keys.ts";
import type { Keys } from "../logic/keys.ts";
import type { Destination, Mesh, MeshEndpoint } from "../logic/mesh.ts";
import { worker, type Worker } from "./worker.ts";

const cjson = require("cjson.safe");
const native = require("mesh.native");

function endpointStatus(endpoint: MeshEndpoint): object {
  return {
    address: endpoint.address,
    port: endpoint.port,
    pod: endpoint.pod,
    identity: endpoint.identity,
    mtls: endpoint.identity !== "",
    state: endpoint.failures === 0 ? "ready" : "set aside",
    reason: endpoint.failures === 0 ? "" : `${endpoint.failures} attempts to connect failed in a row`,
    inFlight: endpoint.inFlight,
    averageMs: endpoint.average / 1000,
    requests: endpoint.edge.total,
  };
}

function destinationStatus(destination: Destination): object {
  const endpoints: object[] = [];
  for (let i = 0; i < destination.pool.endpoints.length; i++) {
    endpoints.push(endpointStatus(destination.pool.endpoints[i]!));
  }
  const backends: object[] = [];
  for (let i = 0; i < destination.rules.length; i++) {
    const rule = destination.rules[i]!;
    for (let j = 0; j < rule.backends.length; j++) {
      backends.push({ rule: i, service: rule.backends[j]!.pool.service, weight: rule.backends[j]!.weight });
    }
  }
  return {
    destination: destination.title,
    protocol: destination.protocol,
    balancing: destination.pool.method,
    connections: destination.references,
    endpoints: endpoints.length === 0 ? undefined : endpoints,
    backends: backends.length === 0 ? undefined : backends,
  };
}

function destinations(mesh: Mesh): object[] | undefined {
  const result: object[] = [];
  for (const id in mesh.destinations) {
    result.push(destinationStatus(mesh.destinations[id]!));
  }
  return result.length === 0 ? undefined : result;
}

/**
 * Eight hexadecimal digits, of the names and values of the keys held: the same for two sidecars that hold the same
 * configuration, as replicas of a workload do that talk to the same Services.
 */
function configurationVersion(keys: Keys): string {
  let sum = 0;
  for (const name in keys.byName) {
    const key = keys.byName[name]!;
    if (key.state === "present" && name !== completeKey) {
      sum = (sum + ngx.crc32_long(`${name} ${key.checksum}`)) % 4294967296;
    }
  }
  return string.format("%08x", sum);
}

function notReady(state: Worker): string | undefined {
  if (state.identity.updates === 0) {
    return `no SVID yet: ${state.identity.error}`;
  }
  if (state.mesh.settings === undefined) {
    return state.nats.state.state === "connected"
      ? `NATS has no settings yet for ${state.mesh.settingsKey}: is the controller running?`
      : `no connection to NATS yet: ${state.nats.state.error}`;
  }
  return undefined;
}

/** Seconds: of quiet, for callers to hear that the pod is ending; and until it ends all the same. */
const quiet = 1;
const longestDrain = 25;

/** Called by `content_by_lua` for `drainPath` of src/wire/sidecar.ts, which nginx lets only the pod itself ask for. */
export function drain(): void {
  const started = ngx.now();
  let busyAt = started;
  for (;;) {
    native.drain();
    const [outgoing, incoming] = native.open();
    const now = ngx.now();
    if (outgoing + incoming > 0) {
      busyAt = now;
    }
    if (now - busyAt >= quiet || now - started >= longestDrain) {
      ngx.header["Content-Type"] = "application/json";
      ngx.say(cjson.encode({ outgoing, incoming, seconds: now - started }) ?? "{}");
      return;
    }
    ngx.sleep(0.1);
  }
}

/** Called by `content_by_lua`. */
export function status(): void {
  const state = worker();
  if (state === undefined) {
    ngx.status = 503;
    ngx.say('{"ready":false,"reason":"starting"}');
    return;
  }
  const reason = notReady(state);
  const [active] = native.connections();
  const [fullIn, fullOut, resumed] = native.handshakes();
  ngx.status = reason === undefined ? 200 : 503;
  ngx.header["Content-Type"] = "application/json";
  ngx.say(
    cjson.encode({
      ready: reason === undefined,
      reason,
      pod: `${state.podNamespace}/${state.podName}`,
      workload: `${state.kind}/${state.workload}`,
      worker: ngx.worker.id(),
      startedAt: state.startedAt,
      // KiB that Lua holds, with what its next collection will free
      luaMemory: collectgarbage("count"),
      configuration: {
        version: configurationVersion(state.mesh.keys),
        keys: state.mesh.keys.count,
        changedAt: Math.floor(state.mesh.changedAt),
        complete: state.mesh.keys.complete,
        mtlsMode: state.mesh.settings === undefined ? undefined : state.mesh.settings.mtlsMode,
        clientMaxBodySize:
          state.mesh.settings === undefined ? undefined : state.mesh.settings.clientMaxBodySize,
      },
      nats: state.nats.state,
      svid: {
        spiffeId: state.identity.spiffeId,
        expiresAt: state.identity.expiresAt,
        updatedAt: state.identity.updatedAt,
        updates: state.identity.updates,
        error: state.identity.error,
      },
      connections: active,
      handshakes: { incoming: fullIn, outgoing: fullOut, resumedIncoming: resumed },
      destinations: destinations(state.mesh),
    }) ?? "{}",
  );
}
