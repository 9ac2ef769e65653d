/** The gRPC service `test.Anything`: messages are bytes. */
import * as grpc from "@grpc/grpc-js";
import { anythingService } from "../tools.ts";
import { podName } from "./listen.ts";

/** Calls that the client ended before the server did. */
let cancelled = 0;
let running = 0;
/** Address and port of the other end of every connection so far. */
const peers = new Set<string>();

function unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void {
  const metadata = new grpc.Metadata();
  metadata.set("served-by", podName);
  call.sendMetadata(metadata);
  const trailers = new grpc.Metadata();
  trailers.set("trailing", "yes");
  const text = call.request.toString();
  peers.add(call.getPeer());
  if (text === "cancelled?") {
    done(null, Buffer.from(JSON.stringify({ cancelled, running })), trailers);
    return;
  }
  const own: Record<string, string> = { "host?": call.getHost(), "connections?": String(peers.size) };
  const answer = own[text];
  if (answer !== undefined) {
    done(null, Buffer.from(answer), trailers);
    return;
  }
  const heard = text === "metadata?" ? JSON.stringify(call.metadata.getMap()) : `${podName} heard ${text}`;
  done(null, Buffer.from(heard), trailers);
}

function collect(call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void {
  let count = 0;
  let size = 0;
  call.on("data", (message: Buffer) => {
    count += 1;
    size += message.length;
  });
  call.on("end", () => done(null, Buffer.from(`${count} messages, ${size} bytes`)));
}

function count(call: grpc.ServerWritableStream<Buffer, Buffer>): void {
  const until = Number(call.request.toString());
  for (let i = 1; i <= until; i += 1) {
    call.write(Buffer.from(String(i)));
  }
  const trailers = new grpc.Metadata();
  trailers.set("counted", String(until));
  call.end(trailers);
}

function converse(call: grpc.ServerDuplexStream<Buffer, Buffer>): void {
  call.on("data", (message: Buffer) => call.write(Buffer.from(`you said ${message.toString()}`)));
  call.on("end", () => call.end());
}

function watchCancellation(call: { on(event: "cancelled", listener: () => void): unknown }): void {
  running += 1;
  call.on("cancelled", () => {
    cancelled += 1;
    running -= 1;
  });
}

function hang(call: grpc.ServerWritableStream<Buffer, Buffer>): void {
  watchCancellation(call);
  call.write(Buffer.from("started"));
}

export async function startGrpc(): Promise<void> {
  const server = new grpc.Server();
  server.addService(anythingService, {
    unary,
    collect,
    count,
    converse,
    hang,
    hangs: (call: grpc.ServerUnaryCall<Buffer, Buffer>) => watchCancellation(call),
    fail: (_call: unknown, done: grpc.sendUnaryData<Buffer>) => {
      const metadata = new grpc.Metadata();
      metadata.set("why", "because");
      done({ code: grpc.status.FAILED_PRECONDITION, details: "not täday", metadata });
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync("0.0.0.0:50051", grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}
