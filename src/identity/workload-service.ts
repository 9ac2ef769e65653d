/**
 * The SPIFFE Workload API as gRPC sees it (SPIFFE Workload API standard, section 5.1), in protobufjs's own form, so
 * that nothing is read from disk and a bundle of the program is complete. Message and field names, numbers and types
 * are the standard's; names become camel case in JavaScript.
 */

import type { ServiceDefinition } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { serviceName } from "./workload-protocol.ts";

export {
  securityHeader,
  serviceName,
  type X509BundlesResponse,
  type X509Svid,
  type X509SvidResponse,
} from "./workload-protocol.ts";

const messages = {
  X509SVIDRequest: { fields: {} },
  X509SVIDResponse: {
    fields: {
      svids: { rule: "repeated", type: "X509SVID", id: 1 },
      crl: { rule: "repeated", type: "bytes", id: 2 },
      federatedBundles: { keyType: "string", type: "bytes", id: 3 },
    },
  },
  X509SVID: {
    fields: {
      spiffeId: { type: "string", id: 1 },
      x509Svid: { type: "bytes", id: 2 },
      x509SvidKey: { type: "bytes", id: 3 },
      bundle: { type: "bytes", id: 4 },
      hint: { type: "string", id: 5 },
    },
  },
  X509BundlesRequest: { fields: {} },
  X509BundlesResponse: {
    fields: {
      crl: { rule: "repeated", type: "bytes", id: 1 },
      bundles: { keyType: "string", type: "bytes", id: 2 },
    },
  },
  /** Stands for the messages of methods that are refused whatever they say: any message can be read as an empty one. */
  Unread: { fields: {} },
};

const methods = {
  FetchX509SVID: stream("X509SVIDRequest", "X509SVIDResponse"),
  FetchX509Bundles: stream("X509BundlesRequest", "X509BundlesResponse"),
  FetchJWTSVID: { ...stream("Unread", "Unread"), responseStream: false },
  FetchJWTBundles: stream("Unread", "Unread"),
  ValidateJWTSVID: { ...stream("Unread", "Unread"), responseStream: false },
};

/** The service for a server's `addService` and a client's `makeClientConstructor`. */
export const workloadService = fromJSON(
  { nested: { ...messages, [serviceName]: { methods } } },
  { defaults: true },
)[serviceName] as ServiceDefinition;

function stream(requestType: string, responseType: string) {
  return { requestType, responseType, responseStream: true, comment: "" };
}
