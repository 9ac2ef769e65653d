/** What happens to connected clients while the NATS server's certificate, bundle and users change under them. */

import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { connect as connectTls } from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type KV, Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { freePort, type RunningNatsServer, startNatsServer } from "../../test/fixtures/nats-server.ts";
import { directGetPrefix, inboxPrefix, keySubjectPrefix } from "../wire/keys.ts";
import { type Authority, openAuthority } from "./authority.ts";
import { certificatesToPem, privateKeyToPem } from "./der.ts";
import { natsConnectionOptions } from "./nats-client.ts";
import { keepNatsServerFiles, natsFileSet, type NatsServerFiles } from "./nats-server-files.ts";
import type { WorkloadIdentity } from "./workload-client.ts";

const trustDomain = "example.org";
const cart = { namespace: "shop", name: "cart" };
const web = { namespace: "shop", name: "web" };
const key = "service.shop.cart";

let directory: string;
let authority: Authority;
let files: NatsServerFiles;
let server: RunningNatsServer;
let port: number;
let changes: Promise<void> = Promise.resolve();
let controller: NatsConnection;
let bucket: KV;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "nats-reload-"));
  authority = await openAuthority({
    directory: join(directory, "ca"),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
    overlapSeconds: 1,
  });
  port = await freePort();
  files = await keepNatsServerFiles({
    directory: join(directory, "nats"),
    authority,
    svidTtlSeconds: 600,
    server: { listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
    serviceAccounts: [cart],
    onChanged: () => {
      changes = changes.then(() => server.reload());
    },
  });
  server = await startNatsServer(files.configurationFile);
  controller = await connectController();
  bucket = await new Kvm(controller).create("mesh-v1", { history: 1, allow_direct: true });
  await bucket.put(key, "0");
});

after(async () => {
  await controller?.close();
  await server?.stop();
  await files?.close();
  await authority?.close();
  await rm(directory, { recursive: true });
});

async function identity(account: { namespace: string; name: string }): Promise<WorkloadIdentity> {
  const spiffeId = `spiffe://${trustDomain}/ns/${account.namespace}/sa/${account.name}`;
  return { ...(await authority.issue({ spiffeId, ttlSeconds: 600 })), bundle: authority.bundle() };
}

async function connectController(): Promise<NatsConnection> {
  const own = await identity({ namespace: "nginx-mesh", name: "nginx-mesh-controller" });
  const options = natsConnectionOptions({
    server: `127.0.0.1:${port}`,
    trustDomain,
    serviceAccount: "nginx-mesh-controller",
    identity: () => own,
  });
  return connect({ ...options, reconnect: false, waitOnFirstConnect: false });
}

interface Sidecar {
  readonly connection: NatsConnection;
  readonly seen: string[];
}

/** A client that never reconnects, so that surviving means that its connection was not closed. */
async function connectSidecar(account: { namespace: string; name: string }): Promise<Sidecar> {
  const svid = await identity(account);
  const tls = {
    handshakeFirst: true,
    cert: certificatesToPem(svid.certificates),
    key: privateKeyToPem(svid.key.reveal()),
    ca: certificatesToPem(svid.bundle),
    checkServerIdentity: () => undefined,
  };
  const connection = await connect({
    servers: `127.0.0.1:${port}`,
    tls,
    inboxPrefix: inboxPrefix(account.namespace, account.name),
    reconnect: false,
  });
  const seen: string[] = [];
  connection.subscribe(`${keySubjectPrefix}${key}`, {
    callback: (_error, message) => void seen.push(message.string()),
  });
  await connection.flush();
  return { connection, seen };
}

/** The sidecar still reads and still hears of changes. */
async function assertServed(sidecar: Sidecar, value: string): Promise<void> {
  await bucket.put(key, value);
  const answer = await sidecar.connection.request(`${directGetPrefix}${key}`);
  assert.equal(answer.string(), value);
  await sidecar.connection.flush();
  assert.equal(sidecar.seen.at(-1), value);
}

/** Serial number of the certificate that the server presents to a new client. */
async function presentedSerial(): Promise<string> {
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

test("connected clients survive new users, a new certificate and a new authority; removed users do not", async () => {
  const old = await connectSidecar(cart);
  await assertServed(old, "1");
  const firstSerial = await presentedSerial();

  await files.setServiceAccounts([cart, web]);
  await changes;
  await assertServed(old, "2");
  const added = await connectSidecar(web);
  await assertServed(added, "3");

  await authority.rotate();
  await files.setServiceAccounts([web, cart]);
  await changes;
  const bundle = await readFile(join(directory, "nats", "bundle.pem"), "utf8");
  assert.equal(bundle.match(/BEGIN CERTIFICATE/g)?.length, 2);
  await assertServed(old, "4");
  await assertServed(added, "5");

  await setTimeout(1_100);
  const ofNewAuthority = await connectSidecar(cart);
  await assertServed(ofNewAuthority, "6");
  await assertServed(old, "7");
  assert.equal(await presentedSerial(), firstSerial);

  await files.setServiceAccounts([cart]);
  await changes;
  await assertServed(old, "8");
  await added.connection.closed();
  await assert.rejects(connectSidecar(web), /authorization/i);
  await Promise.all([old.connection.close(), ofNewAuthority.connection.close()]);
});

test("nothing is written and nobody is told when nothing changed", async () => {
  let told = 0;
  const own = await keepNatsServerFiles({
    directory: join(directory, "unchanged"),
    authority,
    svidTtlSeconds: 600,
    server: { listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
    serviceAccounts: [cart, web],
    onChanged: () => (told += 1),
  });
  await own.setServiceAccounts([web, cart]);
  assert.equal(told, 0);
  await own.setServiceAccounts([web]);
  assert.equal(told, 1);
  await own.close();
});

test("an account with a name that none can have is left out and told, the others are in force", async () => {
  const told: string[] = [];
  const own = await keepNatsServerFiles({
    directory: join(directory, "unusable"),
    authority,
    svidTtlSeconds: 600,
    server: { listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
    serviceAccounts: [],
    onChanged: () => undefined,
    onError: (error) => void told.push(error.message),
  });
  await own.setServiceAccounts([{ namespace: "shop", name: "my_sa" }, web]);
  const configuration = await readFile(own.configurationFile, "utf8");
  assert.match(configuration, /ns\/shop\/sa\/web"/);
  assert.doesNotMatch(configuration, /my_sa/);
  assert.deepEqual(told, ['"my_sa" is not the name of a Kubernetes namespace or service account']);
  await own.close();
});

test("no file is replaced for a configuration that cannot be written, and what a failed write did is told later", async () => {
  const folder = join(directory, "failing");
  await mkdir(folder);
  const set = natsFileSet({
    directory: folder,
    server: { trustDomain, listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
  });
  const svid = await identity({ namespace: "nginx-mesh", name: "nats" });
  await assert.rejects(set.write(svid, [{ namespace: "shop", name: "my_sa" }]), /my_sa/);
  assert.deepEqual(await readdir(folder), []);
  await set.write(svid, [web]);
  assert.equal(await set.write(svid, [web]), false);
  await mkdir(join(folder, "nats-server.conf.new"));
  const renewed = await identity({ namespace: "nginx-mesh", name: "nats" });
  await assert.rejects(set.write(renewed, []), /nats-server\.conf/);
  await rm(join(folder, "nats-server.conf.new"), { recursive: true });
  assert.equal(await set.write(renewed, [web]), true, "the certificate of the write that failed");
});

test("the server presents a new certificate before half of the old one's life has passed, without losing a client", async () => {
  await files.close();
  const renewed = Promise.withResolvers<void>();
  const short = await keepNatsServerFiles({
    directory: join(directory, "nats"),
    authority,
    svidTtlSeconds: 4,
    server: { listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
    serviceAccounts: [cart],
    onChanged: () => renewed.resolve(),
  });
  await server.reload();
  const sidecar = await connectSidecar(cart);
  const serial = await presentedSerial();
  await renewed.promise;
  await server.reload();
  assert.notEqual(await presentedSerial(), serial);
  await assertServed(sidecar, "renewed");
  await sidecar.connection.close();
  await short.close();
});
