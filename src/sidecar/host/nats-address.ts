/** Where NATS is: `host:port` from the environment, looked up anew for each connection when the host is a name. */
import { canonicalText } from "../logic/address.ts";
import { createResolver, resolveName, type Resolver } from "./resolver.ts";

const native = require("mesh.native");

export interface NatsAddress {
  readonly host: string;
  readonly port: number;
  /** SPIFFE ID that the server must present. */
  readonly identity: string;
  readonly resolver: Resolver;
  /** Which of several addresses is next. */
  turn: number;
  /** The address in force and its endpoint. */
  address: string;
  endpoint: number;
}

/** undefined: the text is no host and port. */
export function createNatsAddress(text: string, identity: string): NatsAddress | undefined {
  const [host, port] = string.match(text, "^%[?([^%[%]]+)%]?:(%d+)$");
  const number = tonumber(port ?? "") ?? 0;
  if (host === undefined || number < 1 || number > 65535) {
    return undefined;
  }
  return { host, port: number, identity, resolver: createResolver(), turn: 0, address: "", endpoint: -1 };
}

/** Makes the next connection go to NATS; returns what is in the way, or undefined. */
export function locateNats(nats: NatsAddress): string | undefined {
  const literal = canonicalText(nats.host);
  const found = literal === undefined ? resolveName(nats.resolver, nats.host) : [literal];
  if (typeof found === "string") {
    return found;
  }
  const address = found[nats.turn % found.length]!;
  nats.turn = nats.turn + 1;
  if (address === nats.address) {
    return undefined;
  }
  const endpoint = native.endpoint(address, nats.port, nats.identity);
  if (endpoint === undefined) {
    return `"${address}" is no address`;
  }
  native.nats(endpoint);
  if (nats.endpoint >= 0) {
    native.release(nats.endpoint);
  }
  nats.address = address;
  nats.endpoint = endpoint;
  return undefined;
}
