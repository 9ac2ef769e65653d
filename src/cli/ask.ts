/** Questions to the HTTP interfaces of the mesh's own programs. */
import { type ClientRequest, type IncomingMessage, request, type RequestOptions } from "node:http";

import { CommandError } from "./errors.ts";

export interface Question {
  /** Path and query. */
  readonly path: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Who is asked, for messages: `the controller of mesh "default"`. */
  readonly whom: string;
  /** Where it listens, for messages. */
  readonly listener: string;
  /** Sends the request; the way differs: a unix socket, a forwarded port. */
  readonly send: (options: RequestOptions, answered: (response: IncomingMessage) => void) => ClientRequest;
}

const mostBytes = 256 * 1024 * 1024;

/** The listener and the way for a unix socket. */
export function bySocket(socketPath: string): Pick<Question, "listener" | "send"> {
  return {
    listener: socketPath,
    send: (options, answered) => request({ ...options, socketPath }, answered),
  };
}

/** The answer as JSON, unchecked. Throws CommandError for no answer, an error status, or something else than JSON. */
export async function ask(question: Question): Promise<unknown> {
  const { status, text } = await get(question);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new CommandError(`${question.whom} answered ${question.path} with something else than JSON`, {
      cause: error,
    });
  }
  if (status !== 200) {
    const { message, error } = (body ?? {}) as { readonly message?: unknown; readonly error?: unknown };
    const why = message ?? error;
    throw new CommandError(
      `${question.whom} answered ${question.path} with status ${status}${typeof why === "string" ? `: ${why}` : ""}`,
    );
  }
  return body;
}

function get(question: Question): Promise<{ readonly status: number; readonly text: string }> {
  const { path, timeout, send } = question;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(explain(question, error as NodeJS.ErrnoException));
    const message = send({ path, signal: AbortSignal.timeout(Math.ceil(timeout)) }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > mostBytes) {
          response.destroy(new Error(`the answer is larger than ${mostBytes} bytes`));
        }
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", fail);
    });
    message.on("error", fail);
    message.end();
  });
}

function explain(question: Question, error: NodeJS.ErrnoException): CommandError {
  const { whom, listener, timeout } = question;
  switch (error.code) {
    case "ENOENT":
    case "ECONNREFUSED":
      return new CommandError(
        `${whom} is not running: nothing listens at ${listener}; "nginx-meshctl local up" starts a mesh`,
        { cause: error },
      );
    case "EACCES":
      return new CommandError(`${whom} may not be asked by this user: no access to ${listener}; use sudo`, {
        cause: error,
      });
    case "EPODPORT":
      return new CommandError(
        `${whom} cannot be reached through the API server: ${error.message}; its log may say why`,
        { cause: error },
      );
    case "ABORT_ERR":
    case "ETIMEDOUT":
      return new CommandError(
        `${whom} did not answer within ${timeout / 1000} s; --timeout gives it longer, its log may say why`,
        { cause: error },
      );
    default:
      return new CommandError(`asking ${whom} failed: ${error.message}`, { cause: error });
  }
}
