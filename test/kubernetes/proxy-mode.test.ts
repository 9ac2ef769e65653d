/** kube-proxy in its other mode: Services of the mesh's own parts and of plain pods go through its rules, those of sidecars do not. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { app } from "./app.ts";
import { notTheBed, proxyMode, switchProxy } from "./bed.ts";
import { described, inNamespace, type Namespace, until } from "./fixture.ts";
import { assertNoneFailed, startLoad } from "./load.ts";
import {
  callerOf,
  ensureMesh,
  get,
  identity,
  injected,
  isInjected,
  modeAnnotation,
  replacePods,
} from "./mesh.ts";

const skip = await notTheBed();
before(() => (skip === false ? ensureMesh() : undefined));

const bare = { labels: { "injector.nsm.nginx.com/auto-inject": "disabled" } };
const graceful = { lifecycle: { preStop: { sleep: { seconds: 2 } } } };

/** Two that are strict, one that is permissive, one without a sidecar. */
async function deploy(namespace: Namespace): Promise<void> {
  await namespace.apply(
    ...app({ name: "strict", annotations: modeAnnotation("strict") }),
    ...app({ name: "server", replicas: 2, container: graceful }),
    ...app({ name: "client" }),
    ...app({ name: "outsider", replicas: 2, ...bare }),
  );
  await namespace.ready(...["strict", "server", "client", "outsider"].map((name) => `deployment/${name}`));
}

async function everyPairAnswers(namespace: Namespace): Promise<void> {
  const inside = await get(namespace, "app=client", "http://strict/");
  assert.equal(inside.status, 200);
  assert.equal(callerOf(inside), identity(namespace.name, "client"));
  const rows = [
    ["app=outsider", "http://strict/", 403],
    ["app=outsider", "http://server/", 200],
    ["app=outsider", "http://outsider/", 200],
    ["app=client", "http://outsider/", 200],
    ["app=client", "https://server:8443/", 200],
  ] as const;
  for (const [from, url, status] of rows) {
    assert.equal((await get(namespace, from, url)).status, status, `${from} to ${url}`);
  }
}

/** A kube-proxy that has just heard of the pods is not there with its rules at once. */
async function untilEveryPairAnswers(namespace: Namespace): Promise<void> {
  await until("every pair answers as it must", 20, async () => {
    await everyPairAnswers(namespace);
    return true;
  });
}

test("the mesh works in kube-proxy's other mode, and loses nothing there", { skip }, async () => {
  const own = await proxyMode();
  await inNamespace(injected, async (namespace) => {
    await deploy(namespace);
    await untilEveryPairAnswers(namespace);
    try {
      await switchProxy(own === "iptables" ? "nftables" : "iptables");
      // pods of before; those of the control plane find each other anew
      await everyPairAnswers(namespace);
      await replacePods("nats-server");
      const load = await startLoad(namespace, { name: "load", url: "http://server/" });
      const fresh = await startLoad(namespace, { name: "fresh", url: "http://server/", fresh: true });
      await sleep(1000);
      // and new ones: webhook, SPIRE and NATS are reached by their Services
      await namespace.kubectl("rollout", "restart", "deployment/server", "deployment/client");
      await namespace.ready("deployment/server", "deployment/client");
      await sleep(1000);
      assertNoneFailed(await load.stop(), 150);
      assertNoneFailed(await fresh.stop(), 150);
      assert.ok((await namespace.pods("app=client")).every(isInjected));
      await everyPairAnswers(namespace);
    } finally {
      await switchProxy(own);
    }
    await described(namespace.name, () => untilEveryPairAnswers(namespace));
  });
});
