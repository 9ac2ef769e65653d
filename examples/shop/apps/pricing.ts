/** Pricing: prices over gRPC, one or a stream of them. */
import {
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";

import { callerHeader, callerOf } from "./caller.ts";
import { centsOf, countTrailer, type Price, Pricing } from "./pricing-service.ts";

function price(id: number, metadata: Metadata): Price {
  const [value] = metadata.get(callerHeader);
  return { id, cents: centsOf(id), caller: callerOf(value?.toString()) };
}

function trailers(count: number): Metadata {
  const metadata = new Metadata();
  metadata.set(countTrailer, String(count));
  return metadata;
}

function quote(call: ServerUnaryCall<{ id: number }, Price>, callback: sendUnaryData<Price>): void {
  callback(null, price(call.request.id, call.metadata), trailers(1));
}

function follow(call: ServerWritableStream<{ id: number; count: number }, Price>): void {
  for (let i = 0; i < call.request.count; i++) {
    call.write(price(call.request.id + i, call.metadata));
  }
  call.end(trailers(call.request.count));
}

const server = new Server();
server.addService(Pricing.service, { Quote: quote, Follow: follow });
server.bindAsync("0.0.0.0:50051", ServerCredentials.createInsecure(), (error) => {
  if (error !== null) {
    throw error;
  }
});
process.on("SIGTERM", () => server.tryShutdown(() => process.exit(0)));
