/** Runs probes of containers. They come from the node's address, which the capture rules let through to the application. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Container, Probe } from "../api/pod.ts";
import { run } from "./commands.ts";
import type { Launch } from "./launch.ts";
import { count, noCounts, pauseAfter, type ProbeCounts, probeSettings } from "./probe-counts.ts";

export interface ProbeTarget {
  readonly address: string;
  readonly container: Container;
  /** How to run a command in the container; undefined: it does not run. */
  readonly enter: (command: readonly string[]) => Launch | undefined;
}

interface HttpQuestion {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds. */
  readonly timeout: number;
}

/** GET; resolves with status code and body. Rejects when there is no whole answer in time. */
export function httpGet(question: HttpQuestion): Promise<{ readonly status: number; readonly body: string }> {
  const { secure, host, port, path, headers = {}, timeout } = question;
  return new Promise((resolve, reject) => {
    const options = { host, port, path, headers, agent: false, signal: AbortSignal.timeout(timeout) };
    // as the kubelet does: a probe does not verify certificates
    const send = secure ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    send.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body = `${body}${chunk}`.slice(0, 65_536)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", reject);
    });
    send.on("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ABORT_ERR" ? new Error(`no answer within ${timeout / 1000} s`) : error),
    );
    send.end();
  });
}

function portNumber(port: number | string, container: Container): number {
  const found =
    typeof port === "number"
      ? port
      : container.ports?.find((candidate) => candidate.name === port)?.containerPort;
  if (found === undefined) {
    throw new Error(`the container has no port "${port}"`);
  }
  return found;
}

async function httpProbe(get: NonNullable<Probe["httpGet"]>, target: ProbeTarget, timeout: number) {
  const port = portNumber(get.port, target.container);
  const path = `/${(get.path ?? "").replace(/^\//, "")}`;
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name, value]));
  const host = get.host ?? target.address;
  const { status } = await httpGet({ secure: get.scheme === "HTTPS", host, port, path, headers, timeout });
  return status >= 200 && status < 400 ? "" : `GET ${path} at port ${port} answered ${status}`;
}

function tcpProbe(host: string, port: number, timeout: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection to port ${port} within ${timeout / 1000} s`)),
      timeout,
    );
    socket.on("connect", () => {
      socket.destroy();
      resolve("");
    });
    socket.on("error", reject);
    socket.on("close", () => clearTimeout(timer));
  });
}

async function execProbe(command: readonly string[], target: ProbeTarget, timeout: number): Promise<string> {
  const launch = target.enter(command);
  if (launch === undefined) {
    return "the container does not run";
  }
  await run(launch.program, launch.args, { timeout, environment: launch.environment });
  return "";
}

/** "" when the probe succeeds, else why not. Never rejects. */
export async function runProbe(probe: Probe, target: ProbeTarget): Promise<string> {
  const timeout = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    if (probe.httpGet !== undefined) {
      return await httpProbe(probe.httpGet, target, timeout);
    }
    if (probe.exec?.command !== undefined) {
      return await execProbe(probe.exec.command, target, timeout);
    }
    // a server that listens is taken for a healthy gRPC server
    const port = probe.tcpSocket?.port ?? probe.grpc?.port;
    return port === undefined
      ? ""
      : await tcpProbe(probe.tcpSocket?.host ?? target.address, portNumber(port, target.container), timeout);
  } catch (error) {
    return (error as Error).message;
  }
}

export interface FollowedProbe {
  /** Whether it counts as successful; undefined: nothing is known yet. */
  readonly passed: boolean | undefined;
  /** Why the last run failed; "". */
  readonly reason: string;
  stop(): void;
}

/** Runs a probe until stopped, and tells when what it says changes. */
export function followProbe(probe: Probe, target: ProbeTarget, onChange: () => void): FollowedProbe {
  const settings = probeSettings(probe);
  let counts: ProbeCounts = noCounts;
  let runs = 0;
  let reason = "";
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const once = async (): Promise<void> => {
    const began = performance.now();
    const result = await runProbe(probe, target);
    if (stopped) {
      return;
    }
    const before = counts.passed;
    const changed = reason !== result;
    reason = result;
    runs += 1;
    counts = count(counts, result === "", began, settings);
    timer = setTimeout(() => void once(), pauseAfter(counts, runs, performance.now(), settings));
    if (counts.passed !== before || changed) {
      onChange();
    }
  };
  timer = setTimeout(() => void once(), settings.initialDelay);
  return {
    get passed() {
      return counts.passed;
    },
    get reason() {
      return reason;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
