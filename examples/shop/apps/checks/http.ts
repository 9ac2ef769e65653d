/** HTTP/1.1: pages of web, items of the catalog, uploads in chunks. */
import { createHash, randomBytes } from "node:crypto";
import { Agent, type IncomingMessage, request } from "node:http";

import { type Check, expect, expectCaller, nextNumber, within } from "./check.ts";

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

interface Answer {
  readonly status: number | undefined;
  readonly body: Record<string, unknown>;
}

async function readAll(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += chunk as string;
  }
  return text;
}

/** A body is sent in chunks: its length is not announced. */
async function call(url: string, chunks: readonly Buffer[] = []): Promise<Answer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const message = request(url, { agent, method: chunks.length === 0 ? "GET" : "POST" }, resolve);
    message.on("error", reject);
    for (const chunk of chunks) {
      message.write(chunk);
    }
    message.end();
  });
  const text = await readAll(response);
  if (response.statusCode !== 200) {
    throw new Error(`${url} answers ${response.statusCode}: ${text.trim().slice(0, 200)}`);
  }
  return { status: response.statusCode, body: JSON.parse(text) as Record<string, unknown> };
}

/** How many answers came from each version of the catalog. */
export const versions: Record<string, number> = { v1: 0, v2: 0 };

function countVersion(version: unknown): void {
  if (version !== "v1" && version !== "v2") {
    throw new Error(`the catalog's version is ${JSON.stringify(version)}`);
  }
  versions[version] = (versions[version] ?? 0) + 1;
}

async function page(): Promise<void> {
  const id = nextNumber();
  const { body } = await within(5000, "web", call(`http://web/pages/${id}`));
  expect("the page's item", body["id"], id);
  expect("the item's price", body["cents"], 100 + ((id * 37) % 900));
  expectCaller("the caller that web sees", body["caller"], "traffic");
  expectCaller("the caller that the catalog sees", body["callerOfCatalog"], "web");
  expectCaller("the caller that pricing sees", body["callerOfPricing"], "web");
  countVersion(body["catalogVersion"]);
}

async function item(): Promise<void> {
  const id = nextNumber();
  const { body } = await within(5000, "catalog", call(`http://catalog.shop.svc.cluster.local/items/${id}`));
  expect("the item", body["id"], id);
  expectCaller("the caller that the catalog sees", body["caller"], "traffic");
  countVersion(body["version"]);
}

async function upload(): Promise<void> {
  const chunks = Array.from({ length: 8 }, () => randomBytes(16 * 1024));
  const { body } = await within(5000, "catalog", call("http://catalog/digest", chunks));
  expect("the digest", body["sha256"], createHash("sha256").update(Buffer.concat(chunks)).digest("hex"));
  countVersion(body["version"]);
}

/** Web needs the services that the other checks are about. */
export const pageChecks: readonly Check[] = [{ name: "page of web", rate: 15, mostAtOnce: 20, run: page }];

export const httpChecks: readonly Check[] = [
  { name: "item of catalog", rate: 40, mostAtOnce: 20, run: item },
  { name: "upload to catalog", rate: 2, mostAtOnce: 20, run: upload },
];
