import { strict as assert } from "node:assert";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { credentials, makeClientConstructor, Metadata, status } from "@grpc/grpc-js";
import { type Authority, openAuthority } from "./authority.ts";
import { serveWorkloadApi, type WorkloadApiOptions, type WorkloadApiServer } from "./workload-api.ts";
import { type IdentityWatch, watchSvid, type WorkloadIdentity } from "./workload-client.ts";
import { serviceName, workloadService } from "./workload-service.ts";

let directory: string;
let authority: Authority;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "workload-api-"));
  authority = await openAuthority({
    directory: join(directory, "ca"),
    trustDomain: "example.org",
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
});

after(async () => {
  await authority.close();
  await rm(directory, { recursive: true });
});

let sockets = 0;

function serve(
  options: Partial<WorkloadApiOptions> = {},
): Promise<WorkloadApiServer> & { socketPath: string } {
  const socketPath = join(directory, `${(sockets += 1)}.sock`);
  const server = serveWorkloadApi({
    socketPath,
    identity: "spiffe://example.org/ns/shop/sa/cart",
    authority,
    svidTtlSeconds: 3600,
    ...options,
  });
  return Object.assign(server, { socketPath: options.socketPath ?? socketPath });
}

/** Follows a socket and hands out what arrives one by one. */
function follow(socketPath: string): { watch: IdentityWatch; next(): Promise<WorkloadIdentity> } {
  const arrived: WorkloadIdentity[] = [];
  let wake = (): void => undefined;
  const watch = watchSvid(socketPath, (identity) => {
    arrived.push(identity);
    wake();
  });
  const next = async (): Promise<WorkloadIdentity> => {
    while (arrived.length === 0) {
      await new Promise<void>((resolve) => (wake = resolve));
    }
    return arrived.shift() as WorkloadIdentity;
  };
  return { watch, next };
}

function leaf(identity: WorkloadIdentity): X509Certificate {
  return new X509Certificate(identity.certificates[0] as Uint8Array);
}

test("the socket's identity is served with its key and bundle", async () => {
  const starting = serve();
  const server = await starting;
  const { watch, next } = follow(starting.socketPath);
  const identity = await next();
  assert.equal(identity.spiffeId, "spiffe://example.org/ns/shop/sa/cart");
  assert.equal(leaf(identity).subjectAltName, "URI:spiffe://example.org/ns/shop/sa/cart");
  assert.deepEqual(identity.bundle.map(Buffer.from), authority.bundle().map(Buffer.from));
  assert.equal(String(identity.key), "<redacted>");
  assert.equal(await watch.first, identity);
  watch.close();
  await server.close();
});

test("a socket is for its owner only, replaces one that was left behind, and is gone after close", async () => {
  const first = serve();
  await first;
  const server = await serve({ socketPath: first.socketPath, owner: { uid: 2102, gid: 2102 } });
  const found = await stat(first.socketPath);
  assert.deepEqual([found.uid, found.gid, found.mode & 0o777], [2102, 2102, 0o600]);
  await server.close();
  await assert.rejects(stat(first.socketPath), { code: "ENOENT" });
  await (await first).close();
});

test("a file in the socket's place is left alone", async () => {
  const socketPath = join(directory, "ca", "authority.json");
  await assert.rejects(serve({ socketPath }), { name: "WorkloadApiError" });
  assert.ok((await stat(socketPath)).isFile());
});

test("a socket path that the kernel would cut is refused with the reason", async () => {
  await assert.rejects(serve({ socketPath: join(directory, "x".repeat(108)) }), /longer than 107 bytes/);
});

test("rotateNow sends a new SVID to those who follow", async () => {
  const starting = serve();
  const server = await starting;
  const { watch, next } = follow(starting.socketPath);
  const before = await next();
  await server.rotateNow();
  const afterwards = await next();
  assert.notEqual(leaf(afterwards).serialNumber, leaf(before).serialNumber);
  watch.close();
  await server.close();
});

test("an SVID is replaced at half its life, not before", async () => {
  const starting = serve({ svidTtlSeconds: 4 });
  const server = await starting;
  const { watch, next } = follow(starting.socketPath);
  const start = Date.now();
  await next();
  const second = await next();
  const waited = Date.now() - start;
  assert.ok(waited >= 1_300 && waited < 2_500, `waited ${waited} ms`);
  assert.ok(second.notAfter.getTime() > start + 4_000);
  watch.close();
  await server.close();
});

test("a client finds a server that comes, goes and comes back", async () => {
  const socketPath = join(directory, "returning.sock");
  const { watch, next } = follow(socketPath);
  const first = await serve({ socketPath });
  const before = await next();
  await first.close();
  const second = await serve({ socketPath });
  const afterwards = await next();
  assert.notEqual(leaf(afterwards).serialNumber, leaf(before).serialNumber);
  assert.equal(watch.current(), afterwards);
  watch.close();
  await second.close();
});

test("a change of the bundle is sent at once with the same SVID", async () => {
  const own = await openAuthority({
    directory: join(directory, "rotating"),
    trustDomain: "example.org",
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
  const starting = serve({ authority: own });
  const server = await starting;
  const { watch, next } = follow(starting.socketPath);
  const before = await next();
  await own.rotate();
  const afterwards = await next();
  assert.equal(before.bundle.length, 1);
  assert.equal(afterwards.bundle.length, 2);
  assert.equal(leaf(afterwards).serialNumber, leaf(before).serialNumber);
  watch.close();
  await server.close();
  await own.close();
});

/** Calls a method as any gRPC client would; gives the first message, or the status of the failure. */
async function call(socketPath: string, method: string, header: string | undefined): Promise<unknown> {
  const Client = makeClientConstructor(workloadService, serviceName);
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const metadata = new Metadata();
  if (header !== undefined) {
    metadata.set("workload.spiffe.io", header);
  }
  const result = await new Promise((resolve) => {
    const stream = workloadService[method]?.responseStream
      ? client[method]?.({}, metadata)
      : client[method]?.({}, metadata, (error: { code: number; details: string }) => resolve(error));
    stream.on("data", resolve).on("error", resolve);
  });
  client.close();
  return result;
}

test("bundles are served under the trust domain's own ID", async () => {
  const starting = serve();
  const server = await starting;
  const { bundles } = (await call(starting.socketPath, "FetchX509Bundles", "true")) as {
    bundles: Record<string, Uint8Array>;
  };
  assert.deepEqual(Object.keys(bundles), ["spiffe://example.org"]);
  assert.deepEqual(bundles["spiffe://example.org"], Buffer.concat(authority.bundle()));
  await server.close();
});

const refusals = [
  {
    method: "FetchX509SVID",
    header: undefined,
    code: status.INVALID_ARGUMENT,
    details: /workload\.spiffe\.io: true/,
  },
  {
    method: "FetchX509SVID",
    header: "false",
    code: status.INVALID_ARGUMENT,
    details: /workload\.spiffe\.io: true/,
  },
  {
    method: "FetchX509Bundles",
    header: undefined,
    code: status.INVALID_ARGUMENT,
    details: /workload\.spiffe\.io/,
  },
  { method: "FetchJWTSVID", header: "true", code: status.UNIMPLEMENTED, details: /X\.509/ },
  { method: "FetchJWTBundles", header: "true", code: status.UNIMPLEMENTED, details: /X\.509/ },
  { method: "ValidateJWTSVID", header: "true", code: status.UNIMPLEMENTED, details: /X\.509/ },
];

for (const { method, header, code, details } of refusals) {
  test(`${method} with header ${header} fails with ${status[code]}`, async () => {
    const starting = serve();
    const server = await starting;
    const error = (await call(starting.socketPath, method, header)) as { code: number; details: string };
    assert.equal(error.code, code);
    assert.match(error.details, details);
    await server.close();
  });
}
