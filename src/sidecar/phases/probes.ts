/** Ports 8895 and 8896: lets through exactly the health probes that the pod has, and asks the application. */
import { environment } from "../../wire/sidecar.ts";
import type { ProbeTarget } from "../../wire/probes.ts";
import { callGrpc } from "../host/grpc.ts";
import { addressInUrl } from "../logic/address.ts";
import { hostHeader, isConfigured, listedProbes, readProbe } from "../logic/probes.ts";
import { worker, type Worker } from "./worker.ts";

/** Milliseconds; a probe's own time-out is mostly shorter, and then the kubelet hangs up. */
const patience = 10_000;

const inEnvironment = os.getenv(environment.probes);
const listed = inEnvironment === undefined ? undefined : listedProbes(inEnvironment);

function allowed(state: Worker, asked: string, target: ProbeTarget): boolean {
  if (listed !== undefined) {
    return listed[asked] === true;
  }
  const settings = state.mesh.settings;
  return settings !== undefined && settings.probes !== undefined && isConfigured(settings.probes, target);
}

/** 200 without a failure, else 503 with the reason. */
function answer(failure: string | undefined): void {
  ngx.status = failure === undefined ? 200 : 503;
  ngx.header["Content-Type"] = "text/plain";
  ngx.say(failure ?? "ok");
  ngx.exit(200);
}

/** Whether the port accepts a connection: undefined, or why not. */
function tryTcp(address: string, port: number): string | undefined {
  const socket = ngx.socket.tcp();
  socket.settimeouts(patience, patience, patience);
  const [connected, error] = socket.connect(addressInUrl(address), port);
  if (connected === undefined) {
    return `port ${port} does not accept a connection: ${error ?? "failed"}`;
  }
  socket.close();
  return undefined;
}

/** `grpc.health.v1.Health/Check`: a message HealthCheckRequest with the service, and status 1 of HealthCheckResponse. */
function tryGrpc(address: string, port: number, service: string): string | undefined {
  let serving = false;
  const name = ngx.unescape_uri(service);
  if (name.length > 127) {
    return "the service's name is longer than 127 bytes";
  }
  const call = {
    socket: "unix:/run/nginx-mesh/probes.sock",
    path: "/grpc.health.v1.Health/Check",
    headers: `Mesh-Target: ${addressInUrl(address)}:${port}\r\n`,
    message: name === "" ? "" : string.char(10, name.length) + name,
    patience,
  };
  const end = callGrpc(call, (message) => {
    serving = string.sub(message, 1, 2) === string.char(8, 1);
  });
  return serving ? undefined : `port ${port} does not say that it is serving "${name}": ${end}`;
}

/** Called by `access_by_lua`: goes on to the proxy for HTTP, and answers everything else. */
export function check(): void {
  const state = worker();
  const uri = ngx.var["request_uri"] ?? "";
  const sidecarPort = tonumber(ngx.var["server_port"] ?? "") ?? 0;
  const method = ngx.var["request_method"];
  const target = readProbe(sidecarPort, uri);
  if (
    state === undefined ||
    target === undefined ||
    (method !== "GET" && method !== "HEAD") ||
    !allowed(state, `${sidecarPort}${uri}`, target)
  ) {
    ngx.exit(404);
    return;
  }
  const address = state.mesh.ownAddress;
  switch (target.kind) {
    case "tcp":
      answer(tryTcp(address, target.port));
      return;
    case "grpc":
      answer(tryGrpc(address, target.port, target.service));
      return;
    default:
      ngx.var["mesh_probe_target"] = `${addressInUrl(address)}:${target.port}${target.path}`;
      ngx.var["mesh_probe_host"] = hostHeader(ngx.var["http_host"] ?? "", sidecarPort, target.port);
  }
}

/**
 * Called by `header_filter_by_lua`. To the kubelet a redirection is success too, but it would follow it, and that leads
 * nowhere from here.
 */
export function finish(): void {
  if (ngx.status >= 300 && ngx.status < 400) {
    ngx.status = 200;
    ngx.header["Location"] = undefined;
  }
}
