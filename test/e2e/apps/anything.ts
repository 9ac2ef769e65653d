/**
 * A server of every protocol for the tests of the data path. HTTP/1.1 on 8080, scripted HTTP/1.1 on 8081, HTTP/2
 * with prior knowledge on 8082 and (gRPC) on 50051, TCP on 7000 (echo), 7001 (speaks first), 7002 (answers when the client has
 * ended), 7003 (ends at once and goes on to receive), TLS of its own on 7443, UDP on 7053. OFFLINE lists ports that it
 * leaves out.
 */
import { offline } from "./anything/listen.ts";
import { startGrpc } from "./anything/grpc.ts";
import { startHttp, startHttp2 } from "./anything/http.ts";
import { startScripted } from "./anything/scripted.ts";
import { startTcp } from "./anything/tcp.ts";
import { startUdp } from "./anything/udp.ts";

process.on("SIGTERM", () => process.exit(0));
startTcp();
startUdp();
startScripted();
startHttp2();
if (!offline(50051)) {
  await startGrpc();
}
startHttp();
