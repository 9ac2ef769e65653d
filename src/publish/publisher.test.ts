/** The publisher against a real NATS server. */
import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { freePort, type RunningNatsServer, startNatsServer } from "../../test/fixtures/nats-server.ts";
import { bucket, completeKey, keySubjectPrefix } from "../wire/keys.ts";
import { createPublisher, type Publication, type Publisher } from "./publisher.ts";

let directory: string;
let configuration: string;
let server: RunningNatsServer;
let connection: NatsConnection;
let errors: string[] = [];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "publisher-"));
  configuration = join(directory, "nats-server.conf");
  const settings = {
    host: "127.0.0.1",
    port: await freePort(),
    jetstream: { store_dir: join(directory, "store") },
  };
  await writeFile(configuration, JSON.stringify(settings));
  server = await startNatsServer(configuration);
  connection = await connect({
    servers: `127.0.0.1:${settings.port}`,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 0,
  });
});

after(async () => {
  await connection?.close();
  await server?.stop();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  errors = [];
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(`KV_${bucket}`).catch(() => undefined);
});

function publication(values: Readonly<Record<string, string>>, version = "v"): Publication {
  return { keys: new Map(Object.entries(values)), version };
}

function newPublisher(): Publisher {
  return createPublisher({ connection, now: Date.now, onError: (error) => errors.push(error.message) });
}

async function published(publisher: Publisher, version: string): Promise<void> {
  const end = Date.now() + 10_000;
  while (publisher.state().version !== version) {
    assert.ok(Date.now() < end, `${version} is not published: ${JSON.stringify(publisher.state())}`);
    await delay(5);
  }
}

async function streamState() {
  const manager = await jetstreamManager(connection);
  return (await manager.streams.info(`KV_${bucket}`)).state;
}

async function values(): Promise<Record<string, string>> {
  const kv = await new Kvm(connection).open(bucket);
  const result: Record<string, string> = {};
  for await (const key of await kv.keys()) {
    result[key] = (await kv.get(key))?.string() ?? "";
  }
  return result;
}

async function withPublisher(use: (publisher: Publisher) => Promise<void>): Promise<void> {
  const publisher = newPublisher();
  try {
    await use(publisher);
  } finally {
    await publisher.close();
  }
}

test("fills an empty bucket and marks it complete last", async () => {
  await withPublisher(async (publisher) => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`service.a.s${i}`, `"${i}"`]));
    publisher.publish(publication(many, "one"));
    await published(publisher, "one");
    assert.deepEqual(await values(), { ...many, [completeKey]: "{}" });
    const kv = await new Kvm(connection).open(bucket);
    assert.equal((await kv.get(completeKey))?.revision, 501);
    assert.deepEqual(errors, []);
  });
});

test("writes only what differs, new keys before changed ones", async () => {
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1", b: "1", c: "1" }, "one"));
    await published(publisher, "one");
    const { last_seq: before } = await streamState();
    const seen: string[] = [];
    const subscription = connection.subscribe(`${keySubjectPrefix}>`);
    const reading = (async () => {
      for await (const message of subscription) {
        const operation = message.headers?.get("KV-Operation") ?? "";
        seen.push(`${message.subject.slice(keySubjectPrefix.length)} ${operation}${message.string()}`);
      }
    })();
    await connection.flush();
    publisher.publish(publication({ a: "2", b: "1", z: "1" }, "two"));
    await published(publisher, "two");
    await connection.flush();
    subscription.unsubscribe();
    await reading;
    assert.deepEqual(seen, ["z 1", "a 2", "c DEL"]);
    assert.equal((await streamState()).last_seq, before + 3);
  });
});

test("another publisher writes only what changed meanwhile", async () => {
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1", b: "1", c: "1" }, "one"));
    await published(publisher, "one");
  });
  const { last_seq: before } = await streamState();
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1", b: "1", c: "1" }, "one"));
    await published(publisher, "one");
    assert.equal((await streamState()).last_seq, before);
    publisher.publish(publication({ a: "1", b: "2" }, "two"));
    await published(publisher, "two");
    assert.deepEqual(await values(), { a: "1", b: "2", [completeKey]: "{}" });
    assert.equal((await streamState()).last_seq, before + 2);
  });
});

test("a bucket that was left half filled is completed", async () => {
  const kv = await new Kvm(connection).create(bucket, { history: 1 });
  await kv.put("a", "1");
  await kv.put("stale", "1");
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1", b: "1" }, "one"));
    await published(publisher, "one");
    assert.deepEqual(await values(), { a: "1", b: "1", [completeKey]: "{}" });
  });
});

test("NATS killed and back with empty storage is filled again", async () => {
  await withPublisher(async (publisher) => {
    const watching = (async () => {
      for await (const status of connection.status()) {
        if (status.type === "disconnect") {
          publisher.disconnected();
        } else if (status.type === "reconnect") {
          publisher.reconnected();
          return;
        }
      }
    })();
    publisher.publish(publication({ a: "1", b: "1" }, "one"));
    await published(publisher, "one");
    await server.stop();
    await rm(join(directory, "store"), { recursive: true });
    publisher.publish(publication({ a: "never written" }, "two"));
    publisher.publish(publication({ a: "3" }, "three"));
    server = await startNatsServer(configuration);
    await watching;
    await published(publisher, "three");
    assert.deepEqual(await values(), { a: "3", [completeKey]: "{}" });
  });
});

test("a bucket that is deleted under the publisher is made again", async () => {
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1", b: "1" }, "one"));
    await published(publisher, "one");
    const manager = await jetstreamManager(connection);
    await manager.streams.delete(`KV_${bucket}`);
    publisher.publish(publication({ a: "2", b: "1" }, "two"));
    await published(publisher, "two");
    assert.deepEqual(await values(), { a: "2", b: "1", [completeKey]: "{}" });
    assert.equal(errors.length, 1);
    assert.equal(publisher.state().error, "");
  });
});

test("whatever comes after whatever, the bucket ends with the last", async () => {
  await withPublisher(async (publisher) => {
    for (let round = 0; round < 60; round += 1) {
      const keys = Array.from({ length: 8 }, (_, i) => `k${i}`).filter((_, i) => (round * 7 + i * i) % 3 > 0);
      const next = Object.fromEntries(keys.map((key, i) => [key, `${(round + i) % 4}`]));
      publisher.publish(publication(next, `round ${round}`));
      if (round % 7 === 0) {
        await published(publisher, `round ${round}`);
        assert.deepEqual(await values(), { ...next, [completeKey]: "{}" });
      }
    }
  });
});

test("after a withdrawal nothing is written; the next publication starts from what another has written", async () => {
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1", b: "1" }, "one"));
    await published(publisher, "one");
    publisher.withdraw();
    publisher.reconnected();
    await withPublisher(async (other) => {
      other.publish(publication({ a: "2", c: "2" }, "two"));
      await published(other, "two");
    });
    await delay(50);
    assert.deepEqual(await values(), { a: "2", c: "2", [completeKey]: "{}" });
    publisher.publish(publication({ a: "2", b: "1" }, "three"));
    await published(publisher, "three");
    assert.deepEqual(await values(), { a: "2", b: "1", [completeKey]: "{}" });
    assert.deepEqual(errors, []);
  });
});

test("a publication right after a withdrawal is written", async () => {
  await withPublisher(async (publisher) => {
    publisher.publish(publication({ a: "1" }, "one"));
    publisher.withdraw();
    publisher.publish(publication({ a: "2" }, "two"));
    await published(publisher, "two");
    assert.deepEqual(await values(), { a: "2", [completeKey]: "{}" });
  });
});

test("a bucket in memory is filled as any other", async () => {
  const publisher = createPublisher({
    connection,
    storage: "memory",
    now: Date.now,
    onError: (error) => errors.push(error.message),
  });
  publisher.publish(publication({ a: "1" }, "one"));
  await published(publisher, "one");
  await publisher.close();
  const manager = await jetstreamManager(connection);
  assert.equal((await manager.streams.info(`KV_${bucket}`)).config.storage, "memory");
});
