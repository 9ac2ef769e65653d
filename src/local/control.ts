/** The engine's HTTP interface for the tools, over a unix socket that only root can open. */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { formatProblem, type Problem } from "../api/problem.ts";
import type { Engine } from "./engine.ts";
import type { LocalPodHandle } from "./pod.ts";
import type { EngineSettings } from "./settings.ts";
import { podKey } from "./steps.ts";

export interface PodView {
  readonly namespace: string;
  readonly name: string;
  readonly number: number;
  readonly owner: string;
  readonly address: string;
  readonly meshed: boolean;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly reason: string;
  /** Of the first container. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly containers: LocalPodHandle["containers"];
}

export interface EngineView {
  readonly name: string;
  readonly manifests: string;
  readonly pods: readonly PodView[];
  /** Pods that should run and are not there yet, as `namespace/name`. */
  readonly missing: readonly string[];
  readonly ready: boolean;
  readonly parts: Readonly<
    Record<
      string,
      {
        readonly state: string;
        readonly reason: string;
        readonly restarts: number;
        readonly pid: number | undefined;
      }
    >
  >;
  /** What of the manifests cannot be read, or not be started; one line each. */
  readonly problems: readonly string[];
  /** What the mesh leaves out of the rest, or cannot do as it is written; one line each. */
  readonly modelProblems: readonly string[];
}

function podView(pod: LocalPodHandle): PodView {
  const first = pod.containers.find((container) => container.environment !== undefined);
  return {
    namespace: pod.desired.namespace,
    name: pod.desired.name,
    number: pod.number,
    owner: `${pod.desired.owner.kind}/${pod.desired.owner.name}`,
    address: pod.address,
    meshed: pod.desired.meshed,
    ready: pod.ready || pod.completed,
    terminating: pod.terminating,
    reason: pod.completed ? "completed" : pod.reason,
    environment: first?.environment ?? {},
    workingDirectory: first?.workingDirectory ?? "/",
    containers: pod.containers,
  };
}

export function engineView(engine: Engine, settings: EngineSettings): EngineView {
  const pods = engine.pods.all().map(podView);
  const present = new Set(pods.map(podKey));
  const wanted = engine.desired().groups.flatMap((group) => group.pods.map(podKey));
  const missing = wanted.filter((key) => !present.has(key));
  const readable = engine.error() === "" ? [] : [engine.error()];
  const errors = (problems: readonly Problem[]): string[] =>
    problems.filter((problem) => problem.severity === "error").map(formatProblem);
  const part = ({ state, reason, restarts, pid }: Engine["parts"]["nats"]) => ({
    state,
    reason,
    restarts,
    pid,
  });
  return {
    name: settings.name,
    manifests: settings.manifests,
    pods,
    missing,
    ready: missing.length === 0 && pods.every((pod) => pod.ready || pod.terminating),
    parts: { nats: part(engine.parts.nats), controller: part(engine.parts.controller) },
    problems: [...readable, ...errors([...engine.contents().problems, ...engine.desired().problems])],
    modelProblems: errors(engine.problems()),
  };
}

export interface ControlOptions {
  readonly socket: string;
  readonly view: () => EngineView;
  readonly rotateAuthority: () => Promise<void>;
  readonly stop: () => void;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: ControlOptions,
): Promise<void> {
  switch (`${request.method} ${request.url}`) {
    case "GET /":
      send(response, 200, options.view());
      return;
    case "POST /rotate-ca":
      await options.rotateAuthority();
      send(response, 200, {});
      return;
    case "POST /stop":
      send(response, 200, {});
      options.stop();
      return;
    default:
      send(response, 404, { message: `there is no ${request.method} ${request.url}` });
  }
}

export async function serveControl(options: ControlOptions): Promise<Server> {
  rmSync(options.socket, { force: true });
  const server = createServer((request, response) => {
    handle(request, response, options).catch((error: unknown) =>
      send(response, 500, { message: (error as Error).message }),
    );
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(options.socket, resolve));
  chmodSync(options.socket, 0o600);
  return server;
}
