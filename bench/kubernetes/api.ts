/** The API server by a `kubectl proxy` of our own: a program for each request would take longer than what is measured. */
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Api {
  /** Throws with the API server's words when it refuses. */
  request(method: string, path: string, body?: object): Promise<unknown>;
  /** Calls for each piece that a watch sends, until the end of the function that it gives. */
  watch(path: string, onPiece: () => void): Promise<() => void>;
  close(): void;
}

const contentTypes: Readonly<Record<string, string>> = { PATCH: "application/merge-patch+json" };

export async function openApi(): Promise<Api> {
  const proxy = spawn("kubectl", ["proxy", "--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
  const [first] = (await once(proxy.stdout, "data")) as [Buffer];
  const address = /127\.0\.0\.1:\d+/.exec(first.toString())?.[0];
  if (address === undefined) {
    proxy.kill();
    throw new Error(`kubectl proxy does not say where it listens: ${first.toString()}`);
  }
  return {
    async request(method, path, body) {
      const response = await fetch(`http://${address}${path}`, {
        method,
        headers: { "content-type": contentTypes[method] ?? "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (!response.ok) {
        throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 500)}`);
      }
      return JSON.parse(text) as unknown;
    },
    async watch(path, onPiece) {
      const ended = new AbortController();
      const { body, ok, status } = await fetch(`http://${address}${path}`, { signal: ended.signal });
      if (!ok || body === null) {
        throw new Error(`GET ${path}: ${status}`);
      }
      const read = async (): Promise<void> => {
        for await (const _ of body) {
          onPiece();
        }
      };
      // the end of the watch, which the caller has asked for
      void read().catch(() => undefined);
      return () => ended.abort();
    },
    close: () => void proxy.kill(),
  };
}
