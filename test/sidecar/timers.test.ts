/** Every time limit in the sidecar's configuration is known, and none ends a connection that is idle for a day. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const folder = join(import.meta.dirname, "../../src/sidecar/conf");
const text = ["nginx.conf", "incoming.conf"]
  .map((name) => readFileSync(join(folder, name), "utf8"))
  .join("\n");

/** Limits between two bytes of a request, an answer, or a connection that is under way. */
const underWay = [
  "client_body_timeout",
  "send_timeout",
  "proxy_read_timeout",
  "proxy_send_timeout",
  "grpc_read_timeout",
  "grpc_send_timeout",
  "proxy_timeout",
];
/** Limits of beginnings and ends, and of connections that wait for a next request. */
const others = [
  "client_header_timeout",
  "preread_timeout",
  "proxy_connect_timeout",
  "grpc_connect_timeout",
  "ssl_handshake_timeout",
  "ssl_session_timeout",
  "keepalive_timeout",
  "keepalive_time",
  "worker_shutdown_timeout",
];
const seconds = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

interface Limit {
  readonly directive: string;
  readonly value: string;
  readonly seconds: number;
}

/** Directives whose only value is a time: a number with a unit of time, or any number where the name says so. */
function limits(): Limit[] {
  return [...text.matchAll(/^\s*([a-z0-9_]+)\s+(\d+)(ms|s|m|h|d)?;/gm)]
    .filter(([, directive, , unit]) => unit !== undefined || /time/.test(directive!))
    .filter(([, directive]) => !directive!.endsWith("_size"))
    .map(([, directive, number, unit = "s"]) => ({
      directive: directive!,
      value: `${number}${unit}`,
      seconds: Number(number) * seconds[unit as keyof typeof seconds],
    }));
}

test("what every time limit bounds is known", () => {
  const unknown = limits().filter(({ directive }) => ![...underWay, ...others].includes(directive));
  assert.deepEqual(unknown, [], "say above what these bound");
});

test("limits between two bytes are all set, and to a day at least", () => {
  const set = limits().filter(({ directive }) => underWay.includes(directive));
  // nginx's own values are 60 seconds to 10 minutes
  assert.deepEqual([...new Set(set.map(({ directive }) => directive))].sort(), [...underWay].sort());
  for (const { directive, value, seconds: length } of set) {
    assert.ok(length >= 86_400, `${directive} ${value}`);
  }
});

test("connections of applications and of other sidecars are kept alive by probes", () => {
  for (const port of [8900, 8901]) {
    const listens = [...text.matchAll(new RegExp(`listen (\\[::\\]:)?${port}\\b.*;`, "g"))].map(
      ([line]) => line,
    );
    assert.equal(listens.length, 2);
    listens.forEach((line) => assert.match(line, / so_keepalive=on\b/));
  }
  assert.equal([...text.matchAll(/^\s*(proxy|grpc)_socket_keepalive on;/gm)].length, 3);
});
