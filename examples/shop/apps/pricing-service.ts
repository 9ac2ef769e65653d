/** The pricing service's interface, for its server and its clients. */
import { join } from "node:path";

import { loadPackageDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface Price {
  readonly id: number;
  readonly cents: number;
  /** SPIFFE ID of the caller. */
  readonly caller: string;
}

/** Trailing metadata in which the server says how many prices it sent. */
export const countTrailer = "x-prices";

/** The price of an item; the same everywhere. */
export function centsOf(id: number): number {
  return 100 + ((id * 37) % 900);
}

const definition = loadPackageDefinition(loadSync(join(import.meta.dirname, "pricing.proto")));

export const Pricing = (
  definition as unknown as { readonly shop: { readonly Pricing: ServiceClientConstructor } }
).shop.Pricing;
