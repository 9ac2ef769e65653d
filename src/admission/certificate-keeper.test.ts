import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { memoryStore } from "../../test/fixtures/certificate-store.ts";
import { Secret } from "../identity/secret.ts";
import { type CertificateKeeper, keepCertificate } from "./certificate-keeper.ts";
import { createCertificate, judge, lifeMilliseconds, type StoredCertificate } from "./webhook-certificate.ts";

const names = ["nginx-mesh-webhook.mesh.svc", "nginx-mesh-metrics.mesh.svc"];
const day = 24 * 3600 * 1000;
const begin = Date.parse("2030-01-01T00:00:00Z");

interface Replica extends CertificateKeeper {
  readonly used: readonly StoredCertificate[];
  readonly messages: readonly string[];
}

function replica(store: ReturnType<typeof memoryStore>, clock: { now: number }, settle = 0): Replica {
  const used: StoredCertificate[] = [];
  const messages: string[] = [];
  const keeper = keepCertificate({
    store,
    names,
    use: (certificate) => used.push(certificate),
    log: (level, message) => messages.push(`${level}: ${message}`),
    now: () => clock.now,
    periodMilliseconds: 3_600_000,
    settleMilliseconds: settle,
  });
  return {
    used,
    messages,
    look: () => keeper.look(),
    get ready() {
      return keeper.ready;
    },
    close: () => keeper.close(),
  };
}

/** Whether the API server, with the bundle that it has, accepts a server with this certificate. */
function trusted(bundle: string, { certificate }: StoredCertificate): boolean {
  const leaf = new X509Certificate(certificate);
  const authorities = bundle.match(/-----BEGIN[^]*?END CERTIFICATE-----/g) ?? [];
  return authorities.some((text) => leaf.verify(new X509Certificate(text).publicKey));
}

test("ten replicas that start at once agree on one certificate", async () => {
  const store = memoryStore();
  const replicas = Array.from({ length: 10 }, () => replica(store, { now: begin }));
  await Promise.all(replicas.map((each) => each.look()));
  assert.equal(store.counts.written, 1);
  assert.equal(store.counts.lost, 9);
  for (const each of replicas) {
    assert.deepEqual(each.used, [store.stored]);
    each.close();
  }
  assert.ok(trusted(store.bundle, store.stored!));
  assert.deepEqual(judge(store.stored!, names, begin), { verdict: "good" });
});

test("over a year every replica is trusted at any time", async () => {
  const store = memoryStore();
  const clock = { now: begin };
  const replicas = [replica(store, clock), replica(store, clock)];
  const step = 5;
  for (let passed = 0; passed < 365; passed += step) {
    for (const each of (passed / step) % 2 === 0 ? replicas : replicas.toReversed()) {
      await each.look();
      for (const other of replicas.filter(({ ready }) => ready)) {
        assert.ok(trusted(store.bundle, other.used.at(-1)!), `day ${passed}`);
        assert.notEqual(judge(other.used.at(-1)!, names, clock.now).verdict, "unusable", `day ${passed}`);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    clock.now += step * day;
  }
  // a life is 90 days and an hour, of which two thirds are used
  assert.equal(store.counts.written, 7);
  replicas.forEach((each) => each.close());
});

test("the old certificate serves until API servers had time to hear of the new authority", async () => {
  const store = memoryStore();
  const clock = { now: begin };
  const keeper = replica(store, clock, 40);
  await keeper.look();
  clock.now += lifeMilliseconds * 0.7;
  await keeper.look();
  assert.equal(store.counts.written, 2);
  assert.equal(keeper.used.length, 1);
  assert.ok(trusted(store.bundle, keeper.used[0]!) && trusted(store.bundle, store.stored!));
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.deepEqual(keeper.used.at(-1), store.stored);
  keeper.close();
});

test("something else than the injection that does not take the authority is told once, and holds no new certificate up", async () => {
  const store = memoryStore();
  const clock = { now: begin };
  const keeper = replica(store, clock);
  await keeper.look();
  store.reasons = ["the validation is not there"];
  clock.now += lifeMilliseconds * 0.7;
  await keeper.look();
  await keeper.look();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(keeper.used.at(-1), store.stored);
  assert.deepEqual([keeper.used.length, store.counts.written], [2, 2]);
  const errors = keeper.messages.filter((message) => message.startsWith("error"));
  assert.deepEqual(errors, [
    "error: cannot look after the webhook certificate: the validation is not there; it is tried again",
  ]);
  keeper.close();
});

test("looks in the meantime do not put the change off", async () => {
  const store = memoryStore();
  const clock = { now: begin };
  const keeper = replica(store, clock, 100);
  await keeper.look();
  clock.now += lifeMilliseconds * 0.7;
  for (let looks = 0; looks < 10; looks += 1) {
    await keeper.look();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  assert.deepEqual(keeper.used.at(-1), store.stored);
  assert.equal(keeper.used.length, 2);
  keeper.close();
});

const otherNames = await createCertificate(["other.mesh.svc"], begin);
const good = await createCertificate(names, begin);
const expired = await createCertificate(names, begin - 2 * lifeMilliseconds);
const future = await createCertificate(names, begin + day);
const damaged: readonly (readonly [string, StoredCertificate, RegExp])[] = [
  ["expired", expired, /it expired at/],
  ["not valid yet", future, /not valid before/],
  ["for another name", otherNames, /it is not for nginx-mesh-webhook.mesh.svc/],
  ["with another key", { ...good, key: otherNames.key }, /key belongs to another/],
  ["of another authority", { ...good, authorities: otherNames.authorities }, /none of its authorities/],
  ["empty", { certificate: "", key: new Secret(new Uint8Array()), authorities: "" }, /cannot be read/],
  ["garbage", { ...good, certificate: "-----BEGIN CERTIFICATE-----\nxxxx" }, /cannot be read/],
];
for (const [title, stored, why] of damaged) {
  test(`a stored certificate that is ${title} is replaced at start`, async () => {
    const store = memoryStore();
    store.stored = stored;
    store.bundle = stored.authorities;
    await store.write(stored, "0");
    const keeper = replica(store, { now: begin });
    await keeper.look();
    assert.deepEqual(judge(store.stored, names, begin), { verdict: "good" });
    assert.ok(trusted(store.bundle, keeper.used[0]!));
    assert.match(keeper.messages.join("\n"), why);
    keeper.close();
  });
}

test("a Secret that is deleted or damaged comes back as it was", async () => {
  const store = memoryStore();
  const keeper = replica(store, { now: begin });
  await keeper.look();
  const first = store.stored;
  for (const broken of [undefined, expired]) {
    store.stored = broken;
    store.bundle = "";
    await keeper.look();
    assert.deepEqual(store.stored, first);
    assert.ok(trusted(store.bundle, first!));
  }
  assert.equal(keeper.used.length, 1);
  keeper.close();
});

test("a failure is logged once, and the next look mends it; no message has the key", async () => {
  const store = memoryStore();
  const keeper = replica(store, { now: begin });
  store.failure = 'secrets "nginx-mesh-webhook-certificate" is forbidden';
  await keeper.look();
  await keeper.look();
  assert.equal(keeper.ready, false);
  assert.equal(keeper.messages.length, 1);
  assert.match(keeper.messages[0]!, /^error: cannot look after the webhook certificate: .*forbidden/);
  store.failure = undefined;
  await keeper.look();
  assert.equal(keeper.ready, true);
  assert.doesNotMatch(JSON.stringify([keeper.messages, keeper.used]), /PRIVATE KEY/);
  keeper.close();
});
