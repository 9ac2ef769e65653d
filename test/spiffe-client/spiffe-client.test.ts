/** The Workload API and its SVIDs as the SPIFFE project's own Go library sees them. */

import { strict as assert } from "node:assert";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { type Authority, openAuthority } from "../../src/identity/authority.ts";
import { caKeyTypes } from "../../src/identity/certificates.ts";
import { serveWorkloadApi, type WorkloadApiServer } from "../../src/identity/workload-api.ts";

const run = promisify(execFile);
const program = join(import.meta.dirname, "../../build/test/spiffe-client");

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "spiffe-client-"));
  // Go's own archive installs to /usr/local/go, which is not in every PATH.
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/local/go/bin`, GOFLAGS: "-mod=readonly" };
  await run("go", ["build", "-o", program, "."], { cwd: import.meta.dirname, env });
});

after(() => rm(directory, { recursive: true }));

interface Mesh {
  readonly authority: Authority;
  readonly sockets: readonly [string, string];
  readonly servers: readonly [WorkloadApiServer, WorkloadApiServer];
  close(): Promise<void>;
}

/** An authority and the sockets of two workloads. */
async function mesh(name: string, caKeyType: (typeof caKeyTypes)[number]): Promise<Mesh> {
  const authority = await openAuthority({
    directory: join(directory, name),
    trustDomain: "example.org",
    caKeyType,
    caTtlSeconds: 86_400,
    overlapSeconds: 1,
  });
  const serve = (serviceAccount: string): Promise<WorkloadApiServer> =>
    serveWorkloadApi({
      socketPath: join(directory, `${name}-${serviceAccount}.sock`),
      identity: `spiffe://example.org/ns/shop/sa/${serviceAccount}`,
      authority,
      svidTtlSeconds: 3600,
    });
  const servers = [await serve("cart"), await serve("web")] as const;
  return {
    authority,
    sockets: [join(directory, `${name}-cart.sock`), join(directory, `${name}-web.sock`)],
    servers,
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      await authority.close();
    },
  };
}

const handshakeOutput =
  'spiffe://example.org/ns/shop/sa/cart said "hello" to spiffe://example.org/ns/shop/sa/web\n';

for (const caKeyType of caKeyTypes) {
  test(`two workloads talk with SVIDs of an authority of type ${caKeyType}`, async () => {
    const { sockets, close } = await mesh(caKeyType, caKeyType);
    const { stdout } = await run(program, ["handshake", ...sockets]);
    assert.equal(stdout, handshakeOutput);
    await close();
  });
}

test("updates arrive: a renewed SVID, a second authority, and its SVIDs are accepted", async () => {
  const { authority, sockets, servers, close } = await mesh("updates", "ec-p256");
  const watcher = spawn(program, ["watch", sockets[0]], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: watcher.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<{ spiffeId: string; serial: string; authorities: number }> =>
    JSON.parse((await lines.next()).value ?? "null");

  const first = await next();
  assert.deepEqual([first.spiffeId, first.authorities], ["spiffe://example.org/ns/shop/sa/cart", 1]);
  await servers[0].rotateNow();
  const second = await next();
  assert.notEqual(second.serial, first.serial);
  await authority.rotate();
  const third = await next();
  assert.deepEqual([third.serial, third.authorities], [second.serial, 2]);

  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await servers[0].rotateNow();
  assert.notEqual((await next()).serial, third.serial);
  // The cart's SVID is of the new authority now, the web's of the old one.
  const { stdout } = await run(program, ["handshake", ...sockets]);
  assert.equal(stdout, handshakeOutput);

  watcher.kill();
  await once(watcher, "exit");
  await close();
});
