/**
 * What health probes ask: HTTP on 8080, HTTPS on 7443, TCP on 5432, gRPC's health service on 50051, and on 50052 one that says
 * the length of its answer, as a server on Go's net/http does.
 */
import * as grpc from "@grpc/grpc-js";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { selfSigned } from "../../e2e/apps/anything/tcp.ts";

function handle(request: IncomingMessage, response: ServerResponse): void {
  const { method, url, headers } = request;
  if (url === "/moved") {
    response.writeHead(302, { location: "/elsewhere" }).end();
    return;
  }
  response.writeHead(url === "/down" ? 500 : 200).end(JSON.stringify({ method, url, headers }));
}

const bytes = (value: Buffer): Buffer => value;
const serving = 1;
const notServing = 2;

const health = {
  check: {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
} as const;

const server = new grpc.Server();
server.addService(health, {
  check(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void {
    // HealthCheckRequest.service, field 1
    const service = call.request.subarray(2).toString();
    if (service === "" || service === "ü/b") {
      done(null, Buffer.from([8, serving]));
    } else if (service === "down") {
      done(null, Buffer.from([8, notServing]));
    } else {
      done({ code: grpc.status.NOT_FOUND, details: `no service "${service}"` });
    }
  },
});
server.bindAsync("[::]:50051", grpc.ServerCredentials.createInsecure(), () => undefined);
createHttp2Server()
  .on("stream", (stream) => {
    const message = Buffer.from([0, 0, 0, 0, 2, 8, serving]);
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("error", () => undefined);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "content-length": message.length },
      { waitForTrailers: true },
    );
    stream.end(message);
  })
  .listen(50052, "::");
createServer((socket) => void socket.on("error", () => undefined).end()).listen(5432, "::");
createHttpServer(handle).listen(8080, "::");
const pem = selfSigned();
createHttpsServer({ key: pem, cert: pem }, handle).listen(7443, "::");
