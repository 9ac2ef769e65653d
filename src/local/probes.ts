/** Readiness and liveness of containers (Kubernetes documentation, "Configure Probes"). */
import { request as httpRequest } from "node:http";
import type { Container, Probe } from "../api/pod.ts";
import { ports } from "../wire/sidecar.ts";
import { run } from "./commands.ts";
import { namespacePath } from "./network.ts";

export interface ProbeTarget {
  readonly number: number;
  readonly address: string;
  readonly meshed: boolean;
  readonly container: Container;
  readonly environment: Readonly<Record<string, string>>;
}

/** GET; resolves with the status code. Rejects when there is no answer in time. */
export function httpStatus(
  host: string,
  port: number,
  path: string,
  timeout: number,
  headers: Record<string, string> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host, port, path, headers, agent: false, timeout }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${timeout / 1000} s`)));
    request.on("error", reject);
    request.end();
  });
}

function portNumber(port: number | string, container: Container): number {
  if (typeof port === "number") {
    return port;
  }
  const found = container.ports?.find((candidate) => candidate.name === port)?.containerPort;
  if (found === undefined) {
    throw new Error(`the container has no port "${port}"`);
  }
  return found;
}

async function httpProbe(
  get: NonNullable<Probe["httpGet"]>,
  target: ProbeTarget,
  timeout: number,
): Promise<string> {
  const port = portNumber(get.port, target.container);
  const path =
    get.path === undefined || get.path === "" ? "/" : get.path.startsWith("/") ? get.path : `/${get.path}`;
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  const secure = get.scheme === "HTTPS";
  // as the injector does in Kubernetes: the sidecar passes the probe on, in every mTLS mode
  const status = target.meshed
    ? await httpStatus(
        target.address,
        secure ? ports.httpsProbes : ports.httpProbes,
        `/${port}${path}`,
        timeout,
        headers,
      )
    : await httpStatus(target.address, port, path, timeout, headers);
  return status >= 200 && status < 400 ? "" : `GET ${path} at port ${port} answered ${status}`;
}

/** In the pod's namespace and past its capture, which would accept any connection. */
async function tcpProbe(port: number, target: ProbeTarget, timeout: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/${target.address}/${port}`;
  await run("nsenter", [`--net=${namespacePath(target.number)}`, "bash", "-c", script], { timeout });
  return "";
}

/** "" when the probe succeeds, else why not. Never rejects. */
export async function runProbe(probe: Probe, target: ProbeTarget): Promise<string> {
  const timeout = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    if (probe.httpGet !== undefined) {
      return await httpProbe(probe.httpGet, target, timeout);
    }
    const port = probe.tcpSocket?.port ?? probe.grpc?.port;
    if (port !== undefined) {
      return await tcpProbe(portNumber(port, target.container), target, timeout);
    }
    if (probe.exec?.command !== undefined) {
      const names = Object.entries(target.environment).map(([name, value]) => `${name}=${value}`);
      await run(
        "nsenter",
        [`--net=${namespacePath(target.number)}`, "env", ...names, ...probe.exec.command],
        { timeout },
      );
    }
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}
