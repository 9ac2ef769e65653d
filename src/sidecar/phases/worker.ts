/** Composition root of a worker: what nginx calls, and the threads that talk to NATS and the Workload API. */
import { inboxPrefix, statisticsSubject, workloadKey } from "../../wire/keys.ts";
import { wireVersion } from "../../wire/messages.ts";
import { environment, spiffeId, controlPlaneNamespace, natsServiceAccount } from "../../wire/sidecar.ts";
import { createNatsAddress, locateNats, type NatsAddress } from "../host/nats-address.ts";
import { createNats, publish, unfollow, wake, type Nats } from "../host/nats.ts";
import { followNats } from "../host/nats-session.ts";
import { unguessable } from "../host/unguessable.ts";
import { followIdentity, type IdentityState } from "../host/workload-api.ts";
import { createWorld, lastSettings } from "../host/world.ts";
import { canonicalText } from "../logic/address.ts";
import { dropUnused, forgetIdle } from "../logic/housekeeping.ts";
import { admit, incoming, incomingClosed, peer, served } from "../logic/incoming.ts";
import { need } from "../logic/keys.ts";
import { createMesh, type Mesh } from "../logic/mesh.ts";
import { choose, failed, finished, outgoing, outgoingClosed, reason } from "../logic/outgoing.ts";
import { giveUp, present } from "../logic/settle.ts";
import { copyForSharing, publication } from "../logic/publication.ts";

const native = require("mesh.native");
const cjson = require("cjson.safe");
const semaphores = require("ngx.semaphore");

/** Seconds that first traffic to a destination waits at most: for a key that has no value yet, or without NATS. */
const patience = 1;
/** The same for an answer of a NATS that is slow, or gone a moment ago. */
const longPatience = 5;

export interface Worker {
  readonly mesh: Mesh;
  readonly nats: Nats;
  readonly identity: IdentityState;
  readonly startedAt: number;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly kind: string;
  readonly workload: string;
  /** Wakes the thread that looks after time-outs. */
  readonly tick: Semaphore;
  publishedTotal: number;
  /** Whether the log has said that not all fits into the statistics. */
  saidLeftOut: boolean;
}

function fromEnvironment(name: string, otherwise: string): string {
  const value = os.getenv(name);
  return value === undefined || value === "" ? otherwise : value;
}

function createWorker(): Worker {
  const podName = fromEnvironment(environment.podName, "unknown");
  const podNamespace = fromEnvironment(environment.podNamespace, "default");
  const serviceAccount = fromEnvironment(environment.serviceAccount, "default");
  const podAddress = fromEnvironment(environment.podAddress, "");
  // Kubernetes writes an IPv6 address in its short form
  const ownAddress = canonicalText(podAddress) ?? podAddress;
  const owner = fromEnvironment(environment.workload, `pod/${podName}`);
  const [kind, workload] = string.match(owner, "^([^/]+)/(.+)$");
  const [tick] = semaphores.new();
  let nats: Nats | undefined;
  const world = createWorld(() => {
    if (nats !== undefined) {
      wake(nats);
    }
    if (tick.count() <= 0) {
      tick.post(1);
    }
  });
  const mesh = createMesh(world, workloadKey(podNamespace, kind ?? "pod", workload ?? podName), ownAddress);
  const inbox = `${inboxPrefix(podNamespace, serviceAccount)}.${unguessable()}`;
  nats = createNats(mesh, `${podNamespace}/${podName}`, inbox);
  return {
    mesh,
    nats,
    identity: { spiffeId: "", expiresAt: 0, updatedAt: 0, updates: 0, error: "no answer yet" },
    startedAt: ngx.time(),
    podName,
    podNamespace,
    serviceAccount,
    kind: kind ?? "pod",
    workload: workload ?? podName,
    tick,
    publishedTotal: 0,
    saidLeftOut: false,
  };
}

/** In the order of the enumeration in src/sidecar/module/ngx_mesh_logic.c. */
function register(mesh: Mesh): void {
  native.register(
    (address, port, waiter) => {
      const decision = outgoing(mesh, address, port, waiter);
      return $multi(decision.action, decision.destination);
    },
    (source, port, waiter) => {
      const admission = incoming(mesh, source, port, waiter);
      return $multi(admission.action, admission.expected);
    },
    (destination, edge) => {
      if (destination >= 0) {
        outgoingClosed(mesh, destination);
      }
      if (edge >= 0) {
        incomingClosed(mesh, edge);
      }
    },
    (destination, request, previous, now) => choose(mesh, destination, request, previous, now),
    (_destination, endpoint, cannotConnect, now) => failed(mesh, endpoint, cannotConnect, now),
    (destination, endpoint, held, status, connect, firstByte, total, sent, received, now) =>
      finished(mesh, destination, endpoint, held, status, connect, firstByte, total, sent, received, now),
    (address, port, identity) => peer(mesh, address, port, identity),
    (edge) => admit(mesh, edge),
    (edge, _endpoint, status, total, sent, received) => served(mesh, edge, status, total, sent, received),
    (destination, code) => reason(mesh, destination, code),
  );
}

function natsAddress(): NatsAddress | undefined {
  const text = fromEnvironment(environment.nats, "");
  const domain = fromEnvironment(environment.trustDomain, "example.org");
  const identity = fromEnvironment(
    environment.natsIdentity,
    spiffeId(domain, controlPlaneNamespace, natsServiceAccount),
  );
  const address = createNatsAddress(text, identity);
  if (address === undefined) {
    ngx.log(
      ngx.ERR,
      `mesh: ${environment.nats} is "${text}": it must be a host and a port, as nats.example:4222`,
    );
  }
  return address;
}

/** Publishes the counters when any changed. */
function publishStatistics(worker: Worker): void {
  const statistics = worker.mesh.statistics;
  if (statistics.total === worker.publishedTotal || worker.nats.state.state !== "connected") {
    return;
  }
  const published = publication(
    {
      version: wireVersion,
      namespace: worker.podNamespace,
      pod: worker.podName,
      workload: { namespace: worker.podNamespace, kind: worker.kind, name: worker.workload },
      worker: ngx.worker.id(),
      startedAt: worker.startedAt,
    },
    statistics.edges,
    (value) => cjson.encode(value),
  );
  if (published === undefined) {
    return;
  }
  publish(
    worker.nats,
    statisticsSubject(worker.podNamespace, worker.serviceAccount, worker.podName),
    published.payload,
  );
  worker.publishedTotal = statistics.total;
  if (published.leftOut > 0 && !worker.saidLeftOut) {
    worker.saidLeftOut = true;
    ngx.log(
      ngx.WARN,
      `mesh: this pod has traffic with more others than a message of statistics holds: ${published.leftOut} are left out`,
    );
  }
}

function statisticsLoop(worker: Worker): void {
  while (!ngx.worker.exiting()) {
    const settings = worker.mesh.settings;
    ngx.sleep(settings === undefined ? 1 : settings.statisticsInterval);
    publishStatistics(worker);
    share(worker);
    native.trim();
  }
}

/** With several workers each leaves its counters where the one that answers a scrape finds them. */
function share(worker: Worker): void {
  const dictionary = ngx.shared["mesh"];
  if (ngx.worker.count() > 1 && dictionary !== undefined) {
    const { droppedRequests, edges } = worker.mesh.statistics;
    const text = cjson.encode({ droppedRequests, edges: copyForSharing(edges) });
    if (text !== undefined) {
      dictionary.set(`statistics ${ngx.worker.id()}`, text);
    }
  }
}

function giveUpWaiting(worker: Worker): void {
  const { state, since } = worker.nats.state;
  const now = ngx.now();
  const isAway = state !== "connected" && now - since >= longPatience;
  giveUp(worker.mesh, now - patience, now - (isAway ? patience : longPatience));
}

/** Time-outs while something waits; housekeeping now and then. */
function maintenanceLoop(worker: Worker): void {
  let kept = ngx.time();
  while (!ngx.worker.exiting()) {
    const [woken] = worker.tick.wait(30);
    if (woken !== undefined) {
      ngx.sleep(patience / 2);
      giveUpWaiting(worker);
      if (isAsking(worker.mesh)) {
        worker.tick.post(1);
      }
      if (worker.mesh.keys.toAsk.length > 0) {
        wake(worker.nats);
      }
    }
    if (ngx.time() - kept >= 30) {
      kept = ngx.time();
      const names = dropUnused(worker.mesh, kept);
      for (let i = 0; i < names.length; i++) {
        unfollow(worker.nats, names[i]!);
      }
      forgetIdle(worker.mesh);
    }
  }
}

function isAsking(mesh: Mesh): boolean {
  for (const name in mesh.keys.byName) {
    if (mesh.keys.byName[name]!.waiters.length > 0) {
      return true;
    }
  }
  return false;
}

let current: Worker | undefined;

/** The worker that this state belongs to; undefined before `start`. */
export function worker(): Worker | undefined {
  return current;
}

/** Called by `init_worker_by_lua`. */
export function start(): void {
  // requests leave no garbage, statistics and keys do: a heap that may grow to twice of what is in use gains nothing
  collectgarbage("setpause", 120);
  math.randomseed(ngx.worker.pid() * 1000 + (ngx.now() % 1000) * 1000);
  const created = createWorker();
  current = created;
  register(created.mesh);
  const address = natsAddress();
  const own = need(created.mesh.keys, created.mesh.settingsKey, -1, ngx.now(), true);
  const last = lastSettings();
  if (last !== undefined) {
    present(created.mesh, own, last, "answer");
  }
  ngx.timer.at(0, (premature) => {
    if (premature) {
      return;
    }
    const identityReady = () => created.identity.updates > 0;
    const identity = ngx.thread.spawn(() => followIdentity(created.identity, () => created.tick.post(1)));
    const nats = ngx.thread.spawn(() => {
      if (address !== undefined) {
        followNats(created.nats, identityReady, () => locateNats(address));
      }
    });
    const maintenance = ngx.thread.spawn(() => maintenanceLoop(created));
    const statistics = ngx.thread.spawn(() => statisticsLoop(created));
    ngx.thread.wait(statistics);
    if (ngx.worker.exiting()) {
      // the worker would wait for what they wait for
      ngx.thread.kill(identity);
      ngx.thread.kill(maintenance);
      if (created.nats.state.state === "connected") {
        // it has threads of its own, which it ends when its writer does
        wake(created.nats);
      } else {
        ngx.thread.kill(nats);
      }
    }
  });
}
