/** The API server as the mesh's own programs reach it from inside the cluster: JSON in, JSON or a stream of lines out. */
import { Agent, request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { StringDecoder } from "node:string_decoder";
import * as z from "zod";

/** Asked at each request, so that a token that was replaced is used at once. */
export type Credentials = () => { readonly ca: string; readonly token: string };

export interface ApiServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credentials;
}

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Default: `application/json`. */
  readonly contentType?: string;
  /** Milliseconds until it is given up; default 10,000. */
  readonly timeout?: number;
}

export interface StreamRequest {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  onLine(line: string): void;
}

/** Why a request has no answer that can be used. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** HTTP status; 0: there was no answer. */
  readonly status: number;
  /** Milliseconds that the server wants to be left alone; 0: it does not say. */
  readonly retryAfter: number;

  constructor(message: string, status: number, options: { retryAfter?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.retryAfter = options.retryAfter ?? 0;
  }
}

/** Whether the API server answered with one of these statuses; 0: it did not answer. */
export function isStatus(error: unknown, ...statuses: readonly number[]): error is ApiError {
  return error instanceof ApiError && statuses.includes(error.status);
}

/** Whether nothing can be written because the namespace is going. */
export function isTerminating(error: unknown): boolean {
  return isStatus(error, 403) && error.message.includes("being terminated");
}

export interface ApiServer {
  /** The body of an answer with status 2xx, parsed. Throws ApiError for any other. */
  send(request: ApiRequest): Promise<unknown>;
  /** Resolves when the server ends the stream; throws ApiError when it is refused or breaks. */
  stream(request: StreamRequest): Promise<void>;
  close(): void;
}

const defaultTimeout = 10_000;
/** Milliseconds; a server that is gone without a word is found out within ten seconds more. */
const keepAlive = 15_000;
/** Bytes of an error's body that are read. */
const largestError = 16 * 1024;

const statusObject = z.object({ message: z.string().optional(), reason: z.string().optional() });

function statusMessage(text: string): string {
  try {
    const status = statusObject.parse(JSON.parse(text));
    return status.message ?? status.reason ?? "";
  } catch {
    // a proxy between has answered
    return text.slice(0, 200).trim();
  }
}

function retryAfterOf(response: IncomingMessage): number {
  const seconds = Number(response.headers["retry-after"]);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of response) {
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function errorOf(response: IncomingMessage, what: string): Promise<ApiError> {
  const status = response.statusCode ?? 0;
  const text = (await textOf(response).catch(() => "")).slice(0, largestError);
  const message = `${what}: the API server answers ${status}: ${statusMessage(text)}`;
  return new ApiError(message, status, { retryAfter: retryAfterOf(response) });
}

function unanswered(what: string, cause: unknown): ApiError {
  return cause instanceof ApiError
    ? cause
    : new ApiError(`${what}: ${(cause as Error).message}`, 0, { cause });
}

function pathOf(path: string, query: Readonly<Record<string, string>> | undefined): string {
  const parameters = new URLSearchParams(query).toString();
  return parameters === "" ? path : `${path}?${parameters}`;
}

/** Feeds whole lines to `onLine`. */
async function readLines(response: IncomingMessage, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const part of response) {
    const lines = (rest + decoder.write(part as Buffer)).split("\n");
    rest = lines.pop() ?? "";
    lines.filter((line) => line !== "").forEach(onLine);
  }
}

export function openApiServer(options: ApiServerOptions): ApiServer {
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: keepAlive, maxFreeSockets: 4 });

  const open = (request: Omit<ApiRequest, "timeout">, signal: AbortSignal): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const { ca, token } = options.credentials();
      const body = request.body === undefined ? undefined : JSON.stringify(request.body);
      const message = httpsRequest(
        {
          agent,
          host: options.host,
          port: options.port,
          ca,
          method: request.method,
          path: pathOf(request.path, request.query),
          signal,
          headers: {
            accept: "application/json",
            authorization: `Bearer ${token}`,
            ...(body === undefined ? {} : { "content-type": request.contentType ?? "application/json" }),
          },
        },
        resolve,
      );
      message.on("socket", (socket) => socket.setKeepAlive(true, keepAlive));
      message.on("error", reject);
      message.end(body);
    });

  return {
    async send(request) {
      const what = `${request.method} ${request.path}`;
      try {
        const response = await open(request, AbortSignal.timeout(request.timeout ?? defaultTimeout));
        if ((response.statusCode ?? 0) >= 300) {
          throw await errorOf(response, what);
        }
        return JSON.parse(await textOf(response)) as unknown;
      } catch (error) {
        throw unanswered(what, error);
      }
    },
    async stream({ path, query, signal, onLine }) {
      const what = `GET ${path}`;
      try {
        const response = await open({ method: "GET", path, query }, signal);
        if (response.statusCode !== 200) {
          throw await errorOf(response, what);
        }
        await readLines(response, onLine);
      } catch (error) {
        throw unanswered(what, error);
      }
    },
    close: () => agent.destroy(),
  };
}
