/** What tests use in a pod, see agent.ts: clients of every protocol. */
import { createSocket } from "node:dgram";
import * as grpc from "@grpc/grpc-js";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import * as timers from "node:timers/promises";
import { once } from "node:events";
import { WebSocket } from "ws";

export * as held from "./held.ts";
export { grpc, http, http2, net, once, timers, tls, WebSocket };

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** One HTTP/1.1 request with node's client. */
export function get(url: string, options: http.RequestOptions = {}, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { timeout: 10_000, ...options }, (response) => {
      let text = "";
      response.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode = 0, headers, rawHeaders } = response;
        resolve({ status: statusCode, headers, rawHeaders, body: text });
      });
    });
    request.on("timeout", () => request.destroy(new Error(`no answer of ${url} in time`)));
    request.on("error", reject).end(body);
  });
}

/** The body of the answer to one request with HTTP/2 and prior knowledge. */
export function getHttp2(url: string, headers: http2.OutgoingHttpHeaders): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(url);
    session.on("error", reject);
    const stream = session.request(headers);
    let text = "";
    stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      session.close();
      resolve(text);
    });
  });
}

export interface RawOptions {
  /** Sent at once. */
  readonly send?: string;
  /** Bytes are received until the text has come (once, or several times) or the connection ends. */
  readonly until?: string;
  readonly times?: number;
  /** Close the sending side after sending. */
  readonly end?: boolean;
  readonly timeout?: number;
}

export interface RawAnswer {
  readonly text: string;
  /** How it ended: the text that was waited for came, the other side closed, it reset, or time was up. */
  readonly ended: "found" | "closed" | "reset" | "timeout";
  readonly firstByteMs: number;
}

/** Bytes over a TCP connection. */
export function raw(host: string, port: number, options: RawOptions = {}): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const started = performance.now();
    let text = "";
    let firstByteMs = -1;
    const socket = net.connect({ host, port, allowHalfOpen: true });
    const done = (ended: RawAnswer["ended"]): void => {
      clearTimeout(timer);
      resolve({ text, ended, firstByteMs });
      socket.destroy();
    };
    const timer = setTimeout(() => done("timeout"), options.timeout ?? 5000);
    socket.on("connect", () => {
      if (options.send !== undefined) {
        socket.write(options.send, "latin1");
      }
      if (options.end === true) {
        socket.end();
      }
    });
    socket.on("data", (chunk: Buffer) => {
      firstByteMs = firstByteMs < 0 ? performance.now() - started : firstByteMs;
      text += chunk.toString("latin1");
      if (options.until !== undefined && text.split(options.until).length > (options.times ?? 1)) {
        done("found");
      }
    });
    socket.on("end", () => done("closed"));
    socket.on("error", () => done("reset"));
  });
}

/**
 * The answer to one UDP message, sent again each half second as it may be lost; "" when none comes within two seconds.
 * An answer from another address than the one that was asked does not count.
 */
export function askUdp(host: string, port: number, message: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const send = (): void => socket.send(message);
    const again = setInterval(send, 500);
    const done = (answer: string): void => {
      clearInterval(again);
      clearTimeout(patience);
      socket.close();
      resolve(answer);
    };
    const patience = setTimeout(() => done(""), 2000);
    socket.on("message", (answer) => done(answer.toString()));
    // an ICMP error: nobody is there
    socket.on("error", () => done(""));
    socket.connect(port, host, send);
  });
}

const bytes = (value: Buffer): Buffer => value;

function method(
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): grpc.MethodDefinition<Buffer, Buffer> {
  return {
    path: `/test.Anything/${name}`,
    requestStream,
    responseStream,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
}

/** The gRPC service of anything.ts; messages are plain bytes. */
export const anythingService = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  count: method("Count", false, true),
  converse: method("Converse", true, true),
  hang: method("Hang", false, true),
  hangs: method("Hangs", false, false),
  fail: method("Fail", false, false),
} satisfies grpc.ServiceDefinition;

/** A channel of its own, so that connections are not shared between tests. */
export function grpcClient(target: string): grpc.Client {
  return new grpc.Client(target, grpc.credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
  });
}

export interface CallResult {
  readonly code: number;
  readonly details: string;
  readonly message: string;
  readonly trailers: Record<string, unknown>;
  readonly headers: Record<string, unknown>;
}

/** A unary call; resolves also with an error status, and with one after ten seconds if no other deadline is given. */
export function call(
  client: grpc.Client,
  name: "unary" | "fail" | "hangs",
  message: string,
  options: grpc.CallOptions & { readonly metadata?: Record<string, string> } = {},
): Promise<CallResult> {
  return new Promise((resolve) => {
    const definition = anythingService[name];
    const metadata = new grpc.Metadata();
    Object.entries(options.metadata ?? {}).forEach(([key, value]) => metadata.set(key, value));
    let result = "";
    let headers: Record<string, unknown> = {};
    const made = client.makeUnaryRequest(
      definition.path,
      bytes,
      bytes,
      Buffer.from(message),
      metadata,
      { deadline: Date.now() + 10_000, ...options },
      (_error, value) => (result = value?.toString() ?? ""),
    );
    made.on("metadata", (given) => (headers = given.getMap()));
    made.on("status", (status) =>
      setImmediate(() =>
        resolve({
          code: status.code,
          details: status.details,
          message: result,
          trailers: status.metadata.getMap(),
          headers,
        }),
      ),
    );
  });
}
