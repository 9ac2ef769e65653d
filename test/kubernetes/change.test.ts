/** What users do with running workloads, under load: not one request may fail. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { app } from "./app.ts";
import { getObjects, inNamespace, isReady, kubectl, until, type Namespace } from "./fixture.ts";
import { assertNoneFailed, startLoad } from "./load.ts";
import { ensureMesh, injected, isInjected } from "./mesh.ts";

before(() => ensureMesh());

/** Without the mesh too, a pod that ends must be out of everybody's endpoints before it stops to listen. */
const graceful = { lifecycle: { preStop: { sleep: { seconds: 2 } } } };

async function deployServer(namespace: Namespace, version = "1", replicas = 3): Promise<void> {
  await namespace.apply(...app({ name: "server", replicas, version, container: graceful }));
  await namespace.ready("deployment/server");
}

interface Change {
  readonly name: string;
  readonly run: (namespace: Namespace) => Promise<void>;
}

const changes: readonly Change[] = [
  {
    name: "rolling update",
    run: async (namespace) => {
      await deployServer(namespace, "2");
    },
  },
  {
    name: "rollout restart",
    run: async (namespace) => {
      await namespace.kubectl("rollout", "restart", "deployment/server");
      await namespace.ready("deployment/server");
    },
  },
  {
    name: "scaling to 6, then to 2",
    run: async (namespace) => {
      await namespace.kubectl("scale", "deployment/server", "--replicas=6");
      await namespace.ready("deployment/server");
      await namespace.kubectl("scale", "deployment/server", "--replicas=2");
      await until("two pods", 60, async () =>
        (await namespace.pods("app=server")).length === 2 ? true : undefined,
      );
    },
  },
  {
    name: "kubectl delete pod, one after the other",
    run: async (namespace) => {
      for (const pod of await namespace.pods("app=server")) {
        await namespace.kubectl("delete", "pod", pod.metadata.name);
        await namespace.ready("deployment/server");
      }
    },
  },
  {
    name: "drain of a node",
    run: async (namespace) => {
      const [first] = (await namespace.pods("app=server")).filter(isReady);
      const node = first?.["spec"].nodeName as string;
      await namespace.kubectl(
        "create",
        "poddisruptionbudget",
        "server",
        "--selector=app=server",
        "--min-available=2",
      );
      try {
        const selector = "--pod-selector=app=server";
        await kubectl(
          "drain",
          node,
          selector,
          "--ignore-daemonsets",
          "--delete-emptydir-data",
          "--timeout=55s",
        );
      } finally {
        await kubectl("uncordon", node);
      }
      await namespace.ready("deployment/server");
    },
  },
];

for (const change of changes) {
  test(`${change.name} under load`, async () => {
    await inNamespace(injected, async (namespace) => {
      await deployServer(namespace);
      const kept = await startLoad(namespace, { name: "kept", url: "http://server/" });
      const fresh = await startLoad(namespace, { name: "fresh", url: "http://server/", fresh: true });
      await sleep(2000);
      await change.run(namespace);
      await sleep(2000);
      const results = await Promise.all([kept.stop(), fresh.stop()]);
      for (const result of results) {
        assertNoneFailed(result, 150);
      }
      if (change.name === "rolling update") {
        assert.deepEqual(Object.keys(results[0]?.versions ?? {}).sort(), ["1", "2"]);
      }
    });
  });
}

test("an existing workload joins the mesh by a label and a restart, and leaves it again, under load from both sides", async () => {
  await inNamespace({}, async (namespace) => {
    await deployServer(namespace);
    const auto = "injector.nsm.nginx.com/auto-inject";
    const meshed = { [auto]: "enabled" };
    const outside = await startLoad(namespace, { name: "outside", url: "http://server/" });
    const inside = await startLoad(namespace, { name: "inside", url: "http://server/", labels: meshed });
    assert.deepEqual((await namespace.pods("app=inside")).map(isInjected), [true]);
    for (const isMember of [true, false]) {
      await kubectl(
        "label",
        "namespace",
        namespace.name,
        `${auto}=${isMember ? "enabled" : "disabled"}`,
        "--overwrite",
      );
      await namespace.kubectl("rollout", "restart", "deployment/server");
      await namespace.ready("deployment/server");
      const running = (await namespace.pods("app=server")).filter(isReady);
      assert.ok(running.every((pod) => isInjected(pod) === isMember));
      await sleep(2000);
    }
    assertNoneFailed(await outside.stop(), 300);
    assertNoneFailed(await inside.stop(), 300);
  });
});

test("nodes are as before", async () => {
  for (const node of await getObjects("nodes")) {
    assert.notEqual(node["spec"].unschedulable, true, node.metadata.name);
  }
});
