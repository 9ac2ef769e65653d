/** Which protocol a port speaks, by the rules of the public interface. */
import type { Protocol } from "../wire/messages.ts";

interface NamedPort {
  readonly name?: string | undefined;
  readonly protocol?: string | undefined;
}

function byName(name: string | undefined): Protocol | undefined {
  switch (name?.split("-")[0]) {
    case "http":
    case "ws":
      return "http";
    case "grpc":
    case "http2":
    case "h2c":
      return "grpc";
    case "tcp":
    case "https":
    case "tls":
      return "tcp";
    default:
      return undefined;
  }
}

/** `appProtocol` (KEP-1422 and the values that Kubernetes defines). HTTP/2 is served as gRPC is. */
function byAppProtocol(appProtocol: string | undefined): Protocol | undefined {
  switch (appProtocol?.toLowerCase()) {
    case "http":
    case "ws":
    case "kubernetes.io/ws":
      return "http";
    case "grpc":
    case "http2":
    case "h2c":
    case "kubernetes.io/h2c":
      return "grpc";
    case "tcp":
    case "https":
    case "wss":
    case "tls":
    case "kubernetes.io/wss":
      return "tcp";
    default:
      return undefined;
  }
}

function byNumber(port: number): Protocol {
  return port === 80 ? "http" : "tcp";
}

/** Of a Service's port: appProtocol, else the name up to the first `-`, else the well-known port, else TCP. */
export function serviceProtocol(
  port: NamedPort & { readonly port: number; readonly appProtocol?: string | undefined },
): Protocol {
  return port.protocol === "UDP"
    ? "udp"
    : (byAppProtocol(port.appProtocol) ?? byName(port.name) ?? byNumber(port.port));
}

/** Of a container's port that no Service leads to. */
export function containerProtocol(port: NamedPort & { readonly containerPort: number }): Protocol {
  return port.protocol === "UDP" ? "udp" : (byName(port.name) ?? byNumber(port.containerPort));
}
