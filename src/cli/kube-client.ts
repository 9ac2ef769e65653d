/** Questions to the API server of a cluster: JSON in, JSON out, every failure a sentence. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

import { CommandError } from "./errors.ts";
import { explainNoAnswer, explainStatus } from "./kube-failure.ts";
import type { Cluster } from "./kubeconfig.ts";

export interface KubeRequest {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Of the body; JSON when absent. */
  readonly contentType?: string;
  /** What the answer may be; JSON when absent. */
  readonly accept?: string;
}

export interface KubeClient {
  readonly cluster: Cluster;
  /** Milliseconds that are left for the command; at least 1. */
  readonly left: () => number;
  /** The answer as text; throws KubeError for an error status, CommandError for no answer. */
  readonly text: (request: KubeRequest) => Promise<string>;
  /** The answer as JSON, unchecked; throws as `text` does. */
  readonly json: (request: KubeRequest) => Promise<unknown>;
}

/** The API server refused. */
export class KubeError extends CommandError {
  /** HTTP status. */
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

/** Whether this user may not do it. */
export function isDenied(error: unknown): error is KubeError {
  return error instanceof KubeError && error.code === 403;
}

const mostBytes = 256 * 1024 * 1024;

export interface Patience {
  /** Milliseconds for the whole command. */
  readonly timeout: number;
  /** Milliseconds since some moment that stays. */
  readonly clock: () => number;
}

/** A client whose questions are answered within the patience, all of them together. */
export function kubeClient(cluster: Cluster, { timeout, clock }: Patience): KubeClient {
  const end = clock() + timeout;
  const left = (): number => Math.max(1, end - clock());
  const text = async (request: KubeRequest): Promise<string> => {
    const { status, body } = await answer(cluster, request, left(), timeout);
    if (status >= 400) {
      const question = { method: request.method ?? "GET", path: request.path };
      throw new KubeError(explainStatus(cluster.name, question, status, body), status);
    }
    return body;
  };
  return {
    cluster,
    left,
    text,
    json: async (request) => {
      const body = await text(request);
      try {
        return JSON.parse(body) as unknown;
      } catch (error) {
        throw new CommandError(
          `${cluster.name} answered ${request.path} with something else than JSON; is this the address of an API server?`,
          { cause: error },
        );
      }
    },
  };
}

/** The same client with more or less time. */
export function withTimeout(client: KubeClient, timeout: number): KubeClient {
  return kubeClient(client.cluster, { timeout, clock: () => performance.now() });
}

/** `undefined` for what is not there; throws as `json` does for all else. */
export async function jsonIfThere(client: KubeClient, path: string): Promise<unknown> {
  try {
    return await client.json({ path });
  } catch (error) {
    if (error instanceof KubeError && error.code === 404) {
      return undefined;
    }
    throw error;
  }
}

/** Without an answer of an exec plugin a command would wait for ever. */
async function credentialsWithin(cluster: Cluster, milliseconds: number): ReturnType<Cluster["credentials"]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_done, fail) => {
    timer = setTimeout(
      () => fail(new CommandError(`the credentials for ${cluster.name} did not come within the timeout`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([cluster.credentials(), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function answer(
  cluster: Cluster,
  {
    method = "GET",
    path,
    body,
    contentType = "application/json",
    accept = "application/json, */*",
  }: KubeRequest,
  left: number,
  timeout: number,
): Promise<{ readonly status: number; readonly body: string }> {
  const started = performance.now();
  const credentials = await credentialsWithin(cluster, left);
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(left - (performance.now() - started))));
  const content = body === undefined ? undefined : JSON.stringify(body);
  const options = {
    ...credentials,
    method,
    signal,
    headers: {
      ...(credentials.headers as Record<string, string> | undefined),
      accept,
      "user-agent": "nginx-meshctl",
      ...(content === undefined
        ? {}
        : { "content-type": contentType, "content-length": Buffer.byteLength(content) }),
    },
  };
  const send = cluster.server.protocol === "http:" ? httpRequest : httpsRequest;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(
        new CommandError(explainNoAnswer(cluster.name, error as NodeJS.ErrnoException, timeout), {
          cause: error,
        }),
      );
    const message = send(addressOf(cluster.server, path), options, (response) => {
      collect(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, body: text }),
        (error: unknown) => fail(error),
      );
    });
    message.on("error", fail);
    message.end(content);
  });
}

/** The server of a kubeconfig may have a path of its own. */
export function addressOf(server: URL, path: string): URL {
  return new URL(`${server.pathname.replace(/\/$/, "")}${path}`, server);
}

function collect(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > mostBytes) {
        response.destroy(new Error(`the answer is larger than ${mostBytes} bytes`));
      }
    });
    response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    response.on("error", reject);
  });
}
