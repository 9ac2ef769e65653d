import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { openAuthority } from "./authority.ts";
import { callStream } from "./grpc-stream.ts";
import { serveWorkloadApi } from "./workload-api.ts";
import { decodeX509SvidResponse } from "./workload-decoding.ts";
import { serviceName, workloadService } from "./workload-service.ts";

const bytes = fc.uint8Array({ maxLength: 300 });
const response = fc.record({
  svids: fc.array(
    fc.record({
      spiffeId: fc.string(),
      x509Svid: bytes,
      x509SvidKey: bytes,
      bundle: bytes,
      hint: fc.string(),
    }),
  ),
  crl: fc.array(bytes),
  federatedBundles: fc.dictionary(fc.string(), bytes),
});

test("reads what the library for Protocol Buffers writes", () => {
  const serialize = workloadService["FetchX509SVID"]!.responseSerialize;
  fc.assert(
    fc.property(response, (message) => {
      const { svids } = decodeX509SvidResponse(serialize(message));
      const plain = svids.map((svid) => ({
        spiffeId: svid.spiffeId,
        parts: [svid.x509Svid, svid.x509SvidKey, svid.bundle].map((part) => [...part]),
      }));
      assert.deepEqual(
        plain,
        message.svids.map((svid) => ({
          spiffeId: svid.spiffeId,
          parts: [svid.x509Svid, svid.x509SvidKey, svid.bundle].map((part) => [...part]),
        })),
      );
    }),
  );
});

test("whatever comes in, nothing but RangeError and TypeError comes out", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (message) => {
      try {
        decodeX509SvidResponse(message);
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof TypeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("a call that is refused says why", async () => {
  const directory = await mkdtemp(join(tmpdir(), "grpc-stream-"));
  const authority = await openAuthority({
    directory: join(directory, "ca"),
    trustDomain: "example.org",
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
  const socketPath = join(directory, "agent.sock");
  const identity = "spiffe://example.org/ns/shop/sa/cart";
  const server = await serveWorkloadApi({ socketPath, identity, authority, svidTtlSeconds: 600 });
  const refusal = (path: string, method: string): Promise<string> =>
    new Promise((resolve) => {
      const call = { socketPath: path, method, headers: {} };
      callStream(
        call,
        () => assert.fail("answered"),
        (error) => resolve(error.message),
      );
    });
  assert.match(
    await refusal(socketPath, `/${serviceName}/FetchX509SVID`),
    /status 3: .*workload\.spiffe\.io/,
  );
  assert.match(await refusal(socketPath, `/${serviceName}/NoSuchMethod`), /status 12/);
  assert.match(await refusal(join(directory, "none.sock"), "/a/b"), /ENOENT/);
  await server.close();
  await authority.close();
  await rm(directory, { recursive: true });
});
