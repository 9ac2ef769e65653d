/**
 * Health probes and HTTP lifecycle hooks of an injected pod. The kubelet speaks plain text and is nobody of the mesh, so
 * the injector leads what it asks through ports 8895 and 8896, which no capture rule touches. Each is then an
 * HTTP GET, whatever it was before:
 *
 * | in the pod                   | port | request          | 200 when                                               |
 * | ---------------------------- | ---- | ---------------- | ------------------------------------------------------ |
 * | `httpGet`, scheme HTTP       | 8895 | `/PORT/PATH`     | the application's own answer is passed on              |
 * | `httpGet`, scheme HTTPS      | 8896 | `/PORT/PATH`     | the same; the certificate is not verified              |
 * | `tcpSocket`                  | 8895 | `/tcp/PORT`      | the port accepts a connection                          |
 * | `grpc`                       | 8895 | `/grpc/PORT/SVC` | `grpc.health.v1.Health/Check` of SVC answers `SERVING` |
 *
 * PATH has its query. SVC is percent-encoded, and may be empty. The sidecar asks the pod's own address. A header
 * `Host` that the probe sets is passed on; without one the kubelet sends the pod's address and port 8895 or 8896, for
 * which the sidecar puts the application's port.
 *
 * Only what the pod's own probes ask is let through: `environment.probes` of the sidecar lists each request as
 * `PORT` and request URI without a space between, separated by spaces, sorted: `8895/8080/healthz 8895/tcp/5432`.
 * It is compared with what comes over the wire (`$server_port$request_uri`), character by character. It stands in the pod and
 * not in the workload's configuration because pods of an older template live beside those of a newer one.
 */
import { ports } from "./sidecar.ts";

/** What a probe asks of the application. */
export type ProbeTarget =
  | { readonly kind: "http" | "https"; readonly port: number; readonly path: string }
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "grpc"; readonly port: number; readonly service: string };

/** The request that the kubelet makes instead: port of the sidecar, and path with query. */
export interface ProbeRequest {
  readonly port: number;
  readonly path: string;
}

/** `path` and `service` are percent-encoded already. */
export function probeRequest(target: ProbeTarget): ProbeRequest {
  switch (target.kind) {
    case "http":
      return { port: ports.httpProbes, path: `/${target.port}${target.path}` };
    case "https":
      return { port: ports.httpsProbes, path: `/${target.port}${target.path}` };
    case "tcp":
      return { port: ports.httpProbes, path: `/tcp/${target.port}` };
    case "grpc":
      return { port: ports.httpProbes, path: `/grpc/${target.port}/${target.service}` };
  }
}
