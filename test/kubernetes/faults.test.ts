/** Parts of the mesh that end under load: what runs goes on, and what was lost comes back by itself. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { app } from "./app.ts";
import { inNamespace, kubectl, until } from "./fixture.ts";
import { assertNoneFailed, startLoad } from "./load.ts";
import {
  callerOf,
  ensureMesh,
  get,
  identity,
  injected,
  meshNamespace,
  meshPods,
  replacePods,
  setMeshConfig,
} from "./mesh.ts";

before(() => ensureMesh());

for (const part of ["nginx-mesh-controller", "nats-server", "spire-server", "spire-agent"]) {
  test(`all pods of ${part} are killed under load`, async () => {
    await inNamespace(injected, async (namespace) => {
      await namespace.apply(...app({ name: "server", replicas: 2 }), ...app({ name: "client" }));
      await namespace.ready("deployment/server", "deployment/client");
      const load = await startLoad(namespace, { name: "load", url: "http://server/" });
      const fresh = await startLoad(namespace, { name: "fresh", url: "http://server/", fresh: true });
      await sleep(1000);
      await replacePods(part);
      // afterwards all of it works again: a new pod joins, with an identity and a configuration
      await namespace.kubectl("rollout", "restart", "deployment/client");
      await namespace.ready("deployment/client");
      const answer = await until("the new pod is answered", 30, async () =>
        get(namespace, "app=client", "http://server/"),
      );
      assert.equal(callerOf(answer), identity(namespace.name, "client"));
      assertNoneFailed(await load.stop(), 100);
      assertNoneFailed(await fresh.stop(), 100);
    });
  });
}

test("without a controller running pods go on; what changed meanwhile is in force once it is back", async () => {
  await inNamespace(injected, async (namespace) => {
    const outsider = { labels: { "injector.nsm.nginx.com/auto-inject": "disabled" } };
    await namespace.apply(...app({ name: "server" }), ...app({ name: "outsider", ...outsider }));
    await namespace.ready("deployment/server", "deployment/outsider");
    const load = await startLoad(namespace, { name: "load", url: "http://server/" });
    const scale = (replicas: number): Promise<string> =>
      kubectl("-n", meshNamespace, "scale", "deployment/nginx-mesh-controller", `--replicas=${replicas}`);
    const [before] = await meshPods("nginx-mesh-controller");
    assert.ok(before !== undefined);
    const replicas = (await meshPods("nginx-mesh-controller")).length;
    await scale(0);
    try {
      await until("no controller", 60, async () =>
        (await meshPods("nginx-mesh-controller")).length === 0 ? true : undefined,
      );
      // with its webhook gone too, this is written as by somebody who could not be stopped
      await kubectl(
        "delete",
        "validatingwebhookconfiguration",
        "nginx-mesh-validation",
        "--ignore-not-found",
      );
      await setMeshConfig({ mtls: { mode: "strict" } });
      await sleep(1000);
      assert.equal((await get(namespace, "app=outsider", "http://server/")).status, 200);
    } finally {
      await scale(replicas);
    }
    await until("strict mode is in force", 60, async () =>
      (await get(namespace, "app=outsider", "http://server/")).status === 403 ? true : undefined,
    );
    await setMeshConfig({ mtls: { mode: "permissive" } });
    assertNoneFailed(await load.stop(), 100);
    await ensureMesh();
  });
});
