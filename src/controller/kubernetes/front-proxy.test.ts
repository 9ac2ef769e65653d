/** Who may ask the metrics API: only the holder of a certificate of the aggregation layer. */
import { strict as assert } from "node:assert";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { writeCertificates } from "../../../testbed/certificates.ts";
import { planOf } from "../../../testbed/plan.ts";
import { isFrontProxy, readFrontProxy } from "./front-proxy.ts";

let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "front-proxy-"));
  await writeCertificates(folder, planOf(190, 1));
});

after(() => rm(folder, { recursive: true }));

const pem = (name: string): string => readFileSync(join(folder, `${name}.crt`), "utf8");

function proxy(names: readonly string[]) {
  return readFrontProxy({
    data: {
      "requestheader-client-ca-file": pem("front-proxy-ca"),
      "requestheader-allowed-names": JSON.stringify(names),
      "client-ca-file": pem("ca"),
    },
  });
}

const now = Date.now();
const cases: readonly [string, readonly string[], string, number, boolean][] = [
  ["its certificate", ["front-proxy"], "front-proxy", now, true],
  ["its certificate, any name allowed", [], "front-proxy", now, true],
  ["another name", ["other"], "front-proxy", now, false],
  ["a client of the cluster's own authority", [], "admin", now, false],
  ["after it has expired", [], "front-proxy", now + 400 * 86_400_000, false],
  ["before it is valid", [], "front-proxy", now - 86_400_000, false],
];

for (const [name, names, file, time, expected] of cases) {
  test(name, () => {
    assert.equal(isFrontProxy(proxy(names), new X509Certificate(pem(file)), time), expected);
  });
}

test("a ConfigMap without an authority is an error", () => {
  assert.throws(() => readFrontProxy({ data: {} }));
});
