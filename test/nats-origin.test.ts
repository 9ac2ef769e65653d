/** The sidecar's test for forged messages, in the Lua that ships, on what a real NATS server sends. */

import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const lua = join(import.meta.dirname, "../build/sidecar/lua");

function isGenuine(headers: string, name: string, isAnswer: boolean): boolean {
  const program = `
    package.path = arg[1] .. "/?.lua"
    local genuine = require("sidecar.host.nats-origin").isGenuine(arg[2], arg[3], arg[4] == "true")
    io.write(tostring(genuine))`;
  return (
    execFileSync("luajit", ["-e", program, "-", lua, headers, name, String(isAnswer)], {
      input: "",
    }).toString() === "true"
  );
}

const stored =
  "NATS/1.0\r\nNats-Stream: KV_mesh-v1\r\nNats-Subject: $KV.mesh-v1.service.a\r\nNats-Sequence: 1\r\n\r\n";
const removed =
  "NATS/1.0\r\nKV-Operation: DEL\r\nNats-Stream: KV_mesh-v1\r\nNats-Subject: $KV.mesh-v1.service.a\r\n\r\n";
const missing = "NATS/1.0 404 Message Not Found\r\n\r\n";
const deletion = "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n";

const cases = [
  { what: "an update", headers: "", name: "service.a", isAnswer: false, genuine: true },
  { what: "a deletion", headers: deletion, name: "service.a", isAnswer: false, genuine: true },
  {
    what: "an answer as an update of another key",
    headers: stored,
    name: "service.b",
    isAnswer: false,
    genuine: false,
  },
  {
    what: "an answer as an update of the same key",
    headers: stored,
    name: "service.a",
    isAnswer: false,
    genuine: false,
  },
  {
    what: "a deletion marker as an update",
    headers: removed,
    name: "service.b",
    isAnswer: false,
    genuine: false,
  },
  {
    what: "the answer of a missing key as an update",
    headers: missing,
    name: "service.b",
    isAnswer: false,
    genuine: false,
  },
  { what: "an answer", headers: stored, name: "service.a", isAnswer: true, genuine: true },
  { what: "the answer of a deleted key", headers: removed, name: "service.a", isAnswer: true, genuine: true },
  { what: "the answer of a missing key", headers: missing, name: "service.a", isAnswer: true, genuine: true },
  { what: "the answer of another key", headers: stored, name: "service.b", isAnswer: true, genuine: false },
  {
    what: "the answer of a key with a longer name",
    headers: stored,
    name: "service",
    isAnswer: true,
    genuine: false,
  },
  { what: "an answer without a name", headers: "", name: "service.a", isAnswer: true, genuine: false },
];

for (const { what, headers, name, isAnswer, genuine } of cases) {
  test(`${what} is ${genuine ? "believed" : "ignored"}`, () => {
    assert.equal(isGenuine(headers, name, isAnswer), genuine);
  });
}
