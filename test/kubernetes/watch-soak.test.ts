/**
 * The watch of 5,000 objects that change all the time, while its connections are cut, the API server hangs and crashes, and
 * versions become too old: no event is lost, a list is made only where it must be, and memory stays flat.
 */
import { strict as assert } from "node:assert";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type ApiServer, isStatus, openApiServer } from "../../src/cluster/kubernetes/api-server.ts";
import { type Reflector, startReflector } from "../../src/cluster/kubernetes/reflector.ts";
import { serviceAccounts } from "../../src/cluster/kubernetes/resources.ts";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { freePort } from "../fixtures/nats-server.ts";

const count = 5_000;
const namespace = "soak";
const folder = `/api/v1/namespaces/${namespace}/serviceaccounts`;

let api: KubeApi;
let wire: Wire;
let followed: ApiServer;
let reflector: Reflector;
/** Name → the label that the writer counts up. */
const objects = new Map<string, string>();
const errors: string[] = [];
const calls = { list: 0, watch: 0 };

/** Between the reflector and the API server: a wire that can be cut. */
interface Wire {
  readonly port: number;
  /** Ends all connections. */
  cut(): void;
  /** While it is blocked there are no new ones. */
  block(blocked: boolean): void;
  close(): void;
}

async function openWire(target: number): Promise<Wire> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let blocked = false;
  const server: Server = createServer((socket) => {
    if (blocked) {
      socket.destroy();
      return;
    }
    const other = connect(target, "127.0.0.1");
    for (const [one, peer] of [
      [socket, other],
      [other, socket],
    ] as const) {
      sockets.add(one);
      one.on("error", () => peer.destroy());
      one.on("close", () => {
        sockets.delete(one);
        peer.destroy();
      });
      one.pipe(peer);
    }
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    port,
    cut,
    block(now) {
      blocked = now;
      if (now) {
        cut();
      }
    },
    close() {
      cut();
      server.close();
    },
  };
}

/** Counts what goes over the wire. */
function counted(server: ApiServer): ApiServer {
  return {
    ...server,
    send(request) {
      calls.list += request.query?.["continue"] === undefined ? 1 : 0;
      return server.send(request);
    },
    stream(request) {
      calls.watch += 1;
      return server.stream(request);
    },
  };
}

function nameOf(at: number): string {
  return `account-${at}`;
}

async function inParallel(
  numbers: readonly number[],
  action: (at: number) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < numbers.length; start += 50) {
    await Promise.all(numbers.slice(start, start + 50).map(action));
  }
}

const all = Array.from({ length: count }, (_, at) => at);

/** Writes to the API server itself, past the wire; while it is away or starts it is tried again. */
async function write(request: Parameters<ApiServer["send"]>[0]): Promise<void> {
  for (;;) {
    try {
      await api.admin.send({ timeout: 5_000, ...request });
      return;
    } catch (error) {
      // it may have been done before the connection broke
      if (isStatus(error, 404, 409)) {
        return;
      }
      await delay(100);
    }
  }
}

let writes = 0;

function change(at: number): Promise<void> {
  writes += 1;
  return write({
    method: "PATCH",
    path: `${folder}/${nameOf(at)}`,
    body: { metadata: { labels: { count: `${writes}` } } },
    contentType: "application/merge-patch+json",
  });
}

async function truth(): Promise<ReadonlyMap<string, string>> {
  const list = (await api.admin.send({ method: "GET", path: folder, timeout: 60_000 })) as {
    items: readonly { metadata: { name: string; labels?: { count?: string } } }[];
  };
  return new Map(list.items.map(({ metadata }) => [metadata.name, metadata.labels?.count ?? ""]));
}

function same(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): boolean {
  return one.size === other.size && [...one].every(([name, value]) => other.get(name) === value);
}

/** Waits until the reflector has what the API server has. */
async function settled(milliseconds = 30_000): Promise<void> {
  const wanted = await truth();
  const end = Date.now() + milliseconds;
  while (!same(wanted, objects)) {
    if (Date.now() > end) {
      const wrong = [...wanted].filter(([name, value]) => objects.get(name) !== value);
      const surplus = [...objects.keys()].filter((name) => !wanted.has(name));
      assert.fail(
        `${wrong.length} of ${wanted.size} differ, ${surplus.length} are too many; errors: ${errors.slice(-5).join("; ")}`,
      );
    }
    await delay(20);
  }
}

/** Objects change while `trouble` goes on. */
async function underChanges(trouble: () => Promise<void>): Promise<void> {
  let on = true;
  const writing = (async () => {
    for (let round = 0; on; round += 1) {
      await inParallel(
        Array.from({ length: 50 }, (_, at) => 1 + ((round * 50 + at) % (count - 1))),
        change,
      );
      await delay(100);
    }
  })();
  await trouble();
  on = false;
  await writing;
  await settled();
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

before(async () => {
  // versions become too old within seconds
  api = await startKubeApi({ args: ["--etcd-compaction-interval=4s"] });
  wire = await openWire(api.port);
  await write({
    method: "POST",
    path: "/api/v1/namespaces",
    body: { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
  });
  await inParallel(all, (at) =>
    write({
      method: "POST",
      path: folder,
      body: {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: nameOf(at), annotations: { weight: "x".repeat(1000) } },
      },
    }),
  );
  followed = openApiServer({ ...api.adminOptions, port: wire.port });
  reflector = startReflector<string>({
    api: counted(followed),
    resource: { ...serviceAccounts, namespace },
    project: (raw) => (raw as { metadata: { labels?: { count?: string } } }).metadata.labels?.count ?? "",
    sink: {
      replace(found) {
        objects.clear();
        found.forEach((value, key) => objects.set(key.slice(namespace.length + 1), value));
      },
      set: (key, value) => void objects.set(key.slice(namespace.length + 1), value),
      remove: (key) => void objects.delete(key.slice(namespace.length + 1)),
    },
    onState: (error) => void (error !== "" && errors.push(error)),
  });
  await settled();
});

after(async () => {
  reflector?.close();
  followed?.close();
  wire?.close();
  await api?.stop();
});

test("connections that are cut again and again: every change arrives, by one list altogether", async () => {
  await underChanges(async () => {
    for (let cuts = 0; cuts < 10; cuts += 1) {
      await delay(300);
      wire.cut();
    }
  });
  assert.equal(calls.list, 1);
  assert.ok(calls.watch >= 5, `${calls.watch} watches`);
});

test("a wire that is dead until the version is too old: what was deleted meanwhile is gone", async () => {
  const lists = calls.list;
  wire.block(true);
  await write({ method: "DELETE", path: `${folder}/${nameOf(0)}` });
  await inParallel(all.slice(1, 1000), change);
  await api.crash();
  await api.start();
  // twice the interval of the compaction
  await delay(9_000);
  await inParallel(all.slice(1000, 2000), change);
  wire.block(false);
  await settled();
  assert.equal(objects.has(nameOf(0)), false);
  assert.ok(calls.list > lists);
});

test("an API server that crashes, and one that hangs", async () => {
  await underChanges(async () => {
    await api.crash();
    await delay(1_000);
    await api.start();
    await delay(1_000);
    api.pause(true);
    await delay(3_000);
    api.pause(false);
    await delay(1_000);
  });
  assert.ok(errors.every((error) => error.startsWith("cannot ")));
});

test("memory is flat over thousands of events", async () => {
  const round = async (): Promise<number> => {
    await inParallel(all.slice(1, 2000), change);
    wire.cut();
    await settled();
    return heap();
  };
  const first = await round();
  const later = [await round(), await round(), await round()];
  const growth = Math.min(...later) - first;
  assert.ok(
    growth < 2,
    `heap ${first.toFixed(1)} MiB, then ${later.map((size) => size.toFixed(1)).join(", ")}`,
  );
});
