/** gRPC: one price, and a stream of prices with trailers. */
import { credentials, type Metadata, type StatusObject } from "@grpc/grpc-js";

import { centsOf, countTrailer, type Price, Pricing } from "../pricing-service.ts";
import { type Check, expect, expectCaller, nextNumber } from "./check.ts";

const pricing = new Pricing("pricing.shop:50051", credentials.createInsecure());

function expectTrailer(metadata: Metadata, count: number): void {
  expect("the trailer of pricing", metadata.get(countTrailer)[0], String(count));
}

function quote(): Promise<void> {
  const id = nextNumber();
  return new Promise((resolve, reject) => {
    let price: Price | undefined;
    const deadline = Date.now() + 5000;
    const call = pricing["Quote"]?.({ id }, { deadline }, (error: Error | null, answer: Price) => {
      if (error !== null) {
        reject(error);
      }
      price = answer;
    });
    call?.on("status", (status: StatusObject) => {
      try {
        expect("the status of pricing", status.code, 0);
        expect("the price", price?.cents, centsOf(id));
        expectCaller("the caller that pricing sees", price?.caller, "traffic");
        expectTrailer(status.metadata, 1);
        resolve();
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

function follow(): Promise<void> {
  const id = nextNumber();
  const count = 10;
  return new Promise((resolve, reject) => {
    const prices: Price[] = [];
    const call = pricing["Follow"]?.({ id, count }, { deadline: Date.now() + 5000 });
    call.on("data", (price: Price) => prices.push(price));
    call.on("error", reject);
    call.on("status", (status: StatusObject) => {
      try {
        expect("the number of prices", prices.length, count);
        expect("the last price", prices.at(-1)?.cents, centsOf(id + count - 1));
        expectTrailer(status.metadata, count);
        resolve();
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

export const grpcChecks: readonly Check[] = [
  { name: "quote of pricing", rate: 20, mostAtOnce: 20, run: quote },
  { name: "stream of pricing", rate: 3, mostAtOnce: 20, run: follow },
];
