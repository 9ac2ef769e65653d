/** Why the controller has no connection to a real NATS server is in its log, whatever the reason. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, type RunningNatsServer, startNatsServer } from "../../test/fixtures/nats-server.ts";
import { type Authority, openAuthority } from "../identity/authority.ts";
import { type NatsFileSet, natsFileSet } from "../identity/nats-server-files.ts";
import type { WorkloadIdentity } from "../identity/workload-client.ts";
import { controllerServiceAccount, natsServiceAccount, spiffeId } from "../wire/sidecar.ts";
import { type NatsLink, openNatsLink } from "./nats.ts";

const trustDomain = "example.org";
const namespace = "nginx-mesh";

let directory: string;
let own: Authority;
let foreign: Authority;
let port: number;
let files: NatsFileSet;
let server: RunningNatsServer | undefined;
let link: NatsLink | undefined;
const infos: string[] = [];
const warnings: string[] = [];

const authorityIn = (name: string): Promise<Authority> =>
  openAuthority({
    directory: join(directory, name),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "nats-link-"));
  [own, foreign] = await Promise.all([authorityIn("own"), authorityIn("foreign")]);
  port = await freePort();
  await mkdir(join(directory, "nats"));
  files = natsFileSet({
    directory: join(directory, "nats"),
    server: { trustDomain, listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
  });
});

afterEach(async () => {
  if (link?.connected() === false) {
    // the client's first attempts cannot be given up, and would keep the process of a failed test for ever
    await server?.stop();
    await start(right());
    await until("an end of the attempts", () => link!.connected());
  }
  await link?.close();
  await server?.stop();
  [link, server] = [undefined, undefined];
  infos.length = 0;
  warnings.length = 0;
});

after(async () => {
  await Promise.all([own?.close(), foreign?.close()]);
  await rm(directory, { recursive: true, force: true });
});

async function identityOf(authority: Authority, name: string): Promise<WorkloadIdentity> {
  const svid = await authority.issue({ spiffeId: spiffeId(trustDomain, namespace, name), ttlSeconds: 600 });
  return { ...svid, bundle: authority.bundle() };
}

interface Server {
  readonly authority: Authority;
  readonly account: string;
  /** Whose clients it lets in. */
  readonly clientsOf: Authority;
}
const right = (): Server => ({ authority: own, account: natsServiceAccount, clientsOf: own });

async function start({ authority, account, clientsOf }: Server): Promise<void> {
  const identity = await identityOf(authority, account);
  await files.write({ ...identity, bundle: clientsOf.bundle() }, []);
  server = await startNatsServer(files.configurationFile);
}

async function open(): Promise<void> {
  const identity = await identityOf(own, controllerServiceAccount);
  link = openNatsLink({
    server: `127.0.0.1:${port}`,
    trustDomain,
    ready: Promise.resolve(),
    identity: () => identity,
    onStatistics: () => undefined,
    onInfo: (message) => void infos.push(message),
    onWarning: (message) => void warnings.push(message),
    firstReason: 50,
  });
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !isSo(); await sleep(20)) {
    assert.ok(Date.now() < end, `${what}: ${JSON.stringify({ infos, warnings })}`);
  }
}

const nobody = "there is no server";
const cases: readonly (readonly [string, (() => Server) | undefined, RegExp])[] = [
  [nobody, undefined, /ECONNREFUSED|connection refused/],
  [
    "the server's certificate is of another authority",
    () => ({ ...right(), authority: foreign }),
    /unable to verify|self-signed|unable to get local issuer|signature/,
  ],
  [
    "the server is somebody else",
    () => ({ ...right(), account: "impostor" }),
    /the NATS server presents URI:spiffe:\/\/example\.org\/ns\/nginx-mesh\/sa\/impostor, not spiffe:\/\/\S+\/sa\/nats-server/,
  ],
  [
    "the server does not trust the controller's certificate",
    () => ({ ...right(), clientsOf: foreign }),
    /the server refuses the controller's certificate, or its TLS: \S+ alert unknown ca/,
  ],
];

for (const [what, wrong, reason] of cases) {
  test(`${what}: the reason is told, again and again but seldom, until there is a connection`, async () => {
    if (wrong !== undefined) {
      await start(wrong());
    }
    await open();
    await until("two warnings", () => warnings.length >= 2);
    for (const warning of warnings) {
      assert.match(warning, new RegExp(`^cannot connect to NATS at 127\\.0\\.0\\.1:${port}: .*tried again`));
      assert.match(warning, reason);
    }
    await sleep(1_500);
    assert.ok(warnings.length <= 6, `${warnings.length} warnings in 2 s`);
    assert.deepEqual(infos, []);
    await server?.stop();
    await start(right());
    await until("a connection", () => infos.length > 0);
    assert.equal(infos[0], `connected to NATS at 127.0.0.1:${port}`);
    const told = warnings.length;
    await sleep(1_000);
    assert.equal(warnings.length, told, "nothing is wrong any more");
  });
}

test("a server that comes back with a certificate that is refused", async () => {
  await start(right());
  await open();
  await until("a connection", () => infos.length > 0);
  await server?.stop();
  await start({ ...right(), account: "impostor" });
  await until("the reason", () => warnings.some((each) => /presents URI:\S+impostor/.test(each)));
  assert.match(warnings[0]!, /the connection to NATS is lost/);
  await server?.stop();
  await start(right());
  await until("another connection", () => infos.includes("connected to NATS again"));
});
