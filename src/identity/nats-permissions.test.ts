/** What each identity can do at a real NATS server. */

import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type KV, Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { freePort, type RunningNatsServer, startNatsServer } from "../../test/fixtures/nats-server.ts";
import { directGetPrefix, inboxPrefix, keySubjectPrefix, statisticsSubject } from "../wire/keys.ts";
import { type Authority, openAuthority } from "./authority.ts";
import { certificatesToPem, privateKeyToPem } from "./der.ts";
import { natsConnectionOptions } from "./nats-client.ts";
import { keepNatsServerFiles, type NatsServerFiles } from "./nats-server-files.ts";
import type { WorkloadIdentity } from "./workload-client.ts";

const trustDomain = "example.org";
const hour = 3_600_000;

let directory: string;
let authority: Authority;
let files: NatsServerFiles;
let server: RunningNatsServer;
let address: string;
let expired: WorkloadIdentity;
let controller: NatsConnection;
let bucket: KV;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "nats-permissions-"));
  let clock = Date.now() - 2 * hour;
  authority = await openAuthority({
    directory: join(directory, "ca"),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
    now: () => new Date(clock),
  });
  expired = await identity("shop", "cart", authority);
  clock = Date.now();
  const port = await freePort();
  address = `127.0.0.1:${port}`;
  files = await keepNatsServerFiles({
    directory: join(directory, "nats"),
    authority,
    svidTtlSeconds: 3600,
    server: { listenHost: "127.0.0.1", port, storeDirectory: join(directory, "store") },
    serviceAccounts: [
      { namespace: "shop", name: "cart" },
      { namespace: "shop", name: "web" },
    ],
    onChanged: () => undefined,
  });
  server = await startNatsServer(files.configurationFile);
  controller = await connectController();
  bucket = await new Kvm(controller).create("mesh-v1", { history: 1, allow_direct: true });
  await bucket.put("service.shop.cart", "the cart");
  await bucket.put("service.shop.web", "the web");
});

after(async () => {
  await controller?.close();
  await server?.stop();
  await files?.close();
  await authority?.close();
  await rm(directory, { recursive: true });
});

async function identity(namespace: string, name: string, issuer: Authority): Promise<WorkloadIdentity> {
  const spiffeId = `spiffe://${trustDomain}/ns/${namespace}/sa/${name}`;
  return { ...(await issuer.issue({ spiffeId, ttlSeconds: 3600 })), bundle: issuer.bundle() };
}

async function connectController(): Promise<NatsConnection> {
  const own = await identity("nginx-mesh", "nginx-mesh-controller", authority);
  const options = {
    server: address,
    trustDomain,
    serviceAccount: "nginx-mesh-controller",
    identity: () => own,
  };
  return connect(natsConnectionOptions(options));
}

/** Connects as a sidecar would, once. */
function connectWith(svid: WorkloadIdentity | undefined, name = "cart"): Promise<NatsConnection> {
  const own =
    svid === undefined
      ? {}
      : { cert: certificatesToPem(svid.certificates), key: privateKeyToPem(svid.key.reveal()) };
  const tls = {
    handshakeFirst: true,
    ca: certificatesToPem(authority.bundle()),
    ...own,
    checkServerIdentity: () => {},
  };
  return connect({
    servers: address,
    tls,
    inboxPrefix: inboxPrefix("shop", name),
    reconnect: false,
    timeout: 5_000,
  });
}

async function withSidecar(use: (sidecar: NatsConnection) => Promise<void>): Promise<void> {
  const sidecar = await connectWith(await identity("shop", "cart", authority));
  try {
    await use(sidecar);
  } finally {
    await sidecar.close();
  }
}

/** The permission errors that the server reports while `action` and what it caused are carried out. */
async function violations(client: NatsConnection, action: () => void): Promise<string[]> {
  const reported: string[] = [];
  const reading = (async () => {
    for await (const event of client.status()) {
      if (event.type === "error") {
        reported.push(event.error.message);
      }
    }
  })();
  action();
  await client.flush();
  await client.flush();
  await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 20))]);
  return reported;
}

test("a sidecar reads a key and follows its changes", async () => {
  await withSidecar(async (sidecar) => {
    const answer = await sidecar.request(`${directGetPrefix}service.shop.cart`);
    assert.equal(answer.string(), "the cart");
    const changes = sidecar.subscribe(`${keySubjectPrefix}service.shop.cart`, { max: 1 });
    await sidecar.flush();
    await bucket.put("service.shop.cart", "the new cart");
    for await (const change of changes) {
      assert.equal(change.string(), "the new cart");
      assert.equal(change.headers, undefined);
    }
  });
});

test("a sidecar's statistics reach the controller", async () => {
  await withSidecar(async (sidecar) => {
    const statistics = controller.subscribe("statistics.>", { max: 1 });
    await controller.flush();
    sidecar.publish(statisticsSubject("shop", "cart", "cart-0"), "42");
    for await (const message of statistics) {
      assert.equal(message.subject, "statistics.shop.cart.cart-0");
      assert.equal(message.string(), "42");
    }
  });
});

const forbiddenToPublish = [
  `${keySubjectPrefix}service.shop.cart`,
  "statistics.shop.web.web-0",
  "inbox.shop.web.x",
  "inbox.nginx-mesh.nginx-mesh-controller.x",
  "$JS.API.INFO",
  "$JS.API.STREAM.INFO.KV_mesh-v1",
  "$JS.API.STREAM.CREATE.other",
  "$JS.API.STREAM.DELETE.KV_mesh-v1",
  "$JS.API.STREAM.PURGE.KV_mesh-v1",
  "$JS.API.STREAM.MSG.DELETE.KV_mesh-v1",
  "$JS.API.CONSUMER.CREATE.KV_mesh-v1",
  "$JS.API.DIRECT.GET.KV_mesh-v1",
  "$SYS.REQ.SERVER.PING",
  "anything",
];

for (const subject of forbiddenToPublish) {
  test(`a sidecar cannot publish to ${subject}`, async () => {
    await withSidecar(async (sidecar) => {
      const reported = await violations(sidecar, () => sidecar.publish(subject, "forged"));
      assert.match(reported.join(), /Permissions Violation for Publish/i);
    });
    assert.doesNotMatch((await bucket.get("service.shop.cart"))?.string() ?? "", /forged/);
  });
}

const forbiddenToFollow = [
  ">",
  "*.>",
  "statistics.>",
  "statistics.shop.web.>",
  "inbox.>",
  "inbox.shop.web.>",
  "inbox.nginx-mesh.nginx-mesh-controller.>",
  "$JS.>",
  "$SYS.>",
  "_INBOX.>",
];

for (const subject of forbiddenToFollow) {
  test(`a sidecar cannot listen to ${subject}`, async () => {
    await withSidecar(async (sidecar) => {
      const reported = await violations(sidecar, () =>
        sidecar.subscribe(subject, { callback: () => undefined }),
      );
      assert.match(reported.join(), /Permissions Violation for Subscription/i);
    });
  });
}

test("the answer to a direct get cannot be sent into the store as another key's value", async () => {
  await withSidecar(async (sidecar) => {
    const seen = sidecar.subscribe(`${keySubjectPrefix}service.shop.web`, { max: 1 });
    sidecar.publish(`${directGetPrefix}service.shop.cart`, undefined, {
      reply: `${keySubjectPrefix}service.shop.web`,
    });
    // It comes back to where the asker listens, marked as an answer: that is how a sidecar tells it from an update.
    for await (const answer of seen) {
      assert.equal(answer.headers?.get("Nats-Subject"), `${keySubjectPrefix}service.shop.cart`);
    }
  });
  assert.equal((await bucket.get("service.shop.web"))?.string(), "the web");
});

test("an answer that a sidecar has sent to the controller's inbox does not arrive there", async () => {
  const inbox = "inbox.nginx-mesh.nginx-mesh-controller.guessed";
  let arrived = 0;
  const subscription = controller.subscribe(inbox, { callback: () => void (arrived += 1) });
  await controller.flush();
  await withSidecar(async (sidecar) => {
    sidecar.publish(`${directGetPrefix}service.shop.cart`, undefined, { reply: inbox });
    await sidecar.flush();
  });
  await controller.flush();
  subscription.unsubscribe();
  assert.equal(arrived, 0);
});

test("a message that is larger than any statistics ends the sender's connection", async () => {
  await withSidecar(async (sidecar) => {
    const payload = new Uint8Array(1024 * 1024 + 1);
    assert.equal(sidecar.info?.max_payload, 1024 * 1024);
    Object.assign(sidecar.info, { max_payload: Infinity });
    sidecar.publish("statistics.shop.cart.cart-0", payload);
    assert.match(String(await sidecar.closed()), /maximum payload/i);
  });
});

test("the controller can fill, read, list, follow and clear the bucket", async () => {
  await bucket.put("workload.shop.deployment.cart", "x");
  const keys: string[] = [];
  for await (const key of await bucket.keys()) {
    keys.push(key);
  }
  assert.ok(keys.includes("workload.shop.deployment.cart"));
  await bucket.delete("workload.shop.deployment.cart");
  const deleted = await bucket.get("workload.shop.deployment.cart");
  assert.equal(deleted?.operation, "DEL");
  const watch = await bucket.watch({ key: "service.shop.web" });
  for await (const entry of watch) {
    assert.equal(entry.string(), "the web");
    break;
  }
  await bucket.purge("workload.shop.deployment.cart");
});

test("the controller cannot make another stream or speak as a sidecar", async () => {
  for (const subject of [
    "$JS.API.STREAM.CREATE.other",
    "$JS.API.STREAM.DELETE.KV_mesh-v1",
    "statistics.shop.cart.x",
  ]) {
    const reported = await violations(controller, () => controller.publish(subject));
    assert.match(reported.join(), /Permissions Violation for Publish/i, subject);
  }
});

test("an identity that is not in the list is refused", async () => {
  await assert.rejects(connectWith(await identity("shop", "stranger", authority)), /authorization/i);
});

test("an expired SVID is refused", async () => {
  await assert.rejects(connectWith(expired), /alert certificate expired/);
});

test("the right name from another authority is refused", async () => {
  const other = await openAuthority({
    directory: join(directory, "other-ca"),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
  await assert.rejects(connectWith(await identity("shop", "cart", other)), /alert unknown ca/);
  await other.close();
});

test("a client without a certificate is refused", async () => {
  await assert.rejects(connectWith(undefined), /alert certificate required/);
});

test("the server says nothing in plain text", async () => {
  const [host = "", port = ""] = address.split(":");
  const socket = connectPlain(Number(port), host);
  const answer = await new Promise<string>((resolve) => {
    let received = "";
    socket.on("data", (data) => (received += data.toString("latin1"))).on("close", () => resolve(received));
    socket.on("error", () => undefined);
    socket.write("CONNECT {}\r\nPING\r\n");
  });
  assert.doesNotMatch(answer, /INFO|PONG/);
});

test("the controller refuses a server with another identity", async () => {
  const own = await identity("nginx-mesh", "nginx-mesh-controller", authority);
  const options = natsConnectionOptions({
    server: address,
    trustDomain: "example.com",
    serviceAccount: "nginx-mesh-controller",
    identity: () => own,
  });
  await assert.rejects(
    connect({ ...options, waitOnFirstConnect: false, reconnect: false }),
    /the NATS server presents URI:spiffe:\/\/example\.org/,
  );
});
