/** The way of a user from nothing to strict mode and back, in this order. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { app, appService, type Answer } from "./app.ts";
import { attempt, getObjects, inNamespace, kubectl, until, type Namespace } from "./fixture.ts";
import {
  callerOf,
  get,
  getSoon,
  identity,
  injected,
  installMesh,
  isInjected,
  meshNamespace,
  setMeshConfig,
  sidecar,
  uninstallMesh,
} from "./mesh.ts";

before(() => installMesh());
after(() => uninstallMesh());

/** Two applications in the mesh; a third has no sidecar. */
async function deploy(namespace: Namespace): Promise<void> {
  const plain = { labels: { "injector.nsm.nginx.com/auto-inject": "disabled" } };
  await namespace.apply(
    ...app({ name: "server", replicas: 2 }),
    ...app({ name: "client" }),
    ...app({ name: "outsider", ...plain }),
  );
  await namespace.ready("deployment/server", "deployment/client", "deployment/outsider");
}

const inMode = (mode: string): Promise<void> => setMeshConfig({ mtls: { mode } });

async function untilAnswer(
  what: string,
  ask: () => Promise<Answer>,
  good: (answer: Answer) => boolean,
): Promise<void> {
  await until(what, 20, async () => (good(await ask()) ? true : undefined));
}

test("the control plane is ready, and says so", async () => {
  const pods = await getObjects("pods", "--namespace", meshNamespace);
  assert.ok(pods.length >= 4, pods.map((pod) => pod.metadata.name).join(" "));
  for (const name of [
    "mutatingwebhookconfiguration/nginx-mesh-injection",
    "validatingwebhookconfiguration/nginx-mesh-validation",
  ]) {
    const bundle = await kubectl("get", name, "--output=jsonpath={.webhooks[0].clientConfig.caBundle}");
    assert.ok(bundle.length > 100, `${name} has no caBundle`);
  }
});

test("pods are injected as their namespace and labels say, and know each other over mTLS", async () => {
  await inNamespace(injected, async (namespace) => {
    await deploy(namespace);
    for (const pod of await namespace.pods()) {
      assert.equal(isInjected(pod), pod.metadata.labels?.["app"] !== "outsider", pod.metadata.name);
    }
    const answer = await get(namespace, "app=client", "http://server/");
    assert.equal(answer.status, 200);
    assert.equal(callerOf(answer), identity(namespace.name, "client"));
    const outside = await getSoon(namespace, "app=outsider", "http://server/");
    assert.equal(outside.status, 200, "permissive mode lets plain text in");
    assert.equal(callerOf(outside), undefined);
    const into = await get(namespace, "app=client", "http://outsider/");
    assert.equal(into.status, 200);
    const counted = await namespace.exec(
      "app=client",
      "app",
      "wget",
      "-qO-",
      "http://127.0.0.1:8887/metrics",
    );
    assert.match(
      counted.stdout,
      /nginxplus_upstream_server_responses\{[^}]*code="2xx"[^}]*\} [1-9]/,
      counted.stderr,
    );
  });
});

test("strict mode takes effect at once, without a restart, and so does the way back", async () => {
  await inNamespace(injected, async (namespace) => {
    await deploy(namespace);
    const before = (await namespace.pods()).map((pod) => pod.metadata.name).sort();
    const inside = (): Promise<Answer> => get(namespace, "app=client", "http://server/");
    const outside = (): Promise<Answer> => get(namespace, "app=outsider", "http://server/");
    await inMode("strict");
    try {
      await untilAnswer("strict mode refuses plain text", outside, ({ status }) => status === 403);
      assert.equal((await inside()).status, 200);
    } finally {
      await inMode("permissive");
    }
    await untilAnswer("permissive mode lets plain text in", outside, ({ status }) => status === 200);
    const now = await namespace.pods();
    assert.deepEqual(now.map((pod) => pod.metadata.name).sort(), before);
    for (const pod of now) {
      const all = [
        ...(pod["status"].containerStatuses ?? []),
        ...(pod["status"].initContainerStatuses ?? []),
      ];
      assert.ok(
        all.every((each: { restartCount: number }) => each.restartCount === 0),
        pod.metadata.name,
      );
    }
  });
});

test("a sidecar holds no token, no root and no way to either", async () => {
  await inNamespace(injected, async (namespace) => {
    await namespace.apply(...app({ name: "server" }), appService("other"));
    await namespace.ready("deployment/server");
    const [pod] = await namespace.pods("app=server");
    assert.ok(pod !== undefined);
    const spec = pod["spec"];
    const container = [...spec.containers, ...spec.initContainers].find(
      (each: { name: string }) => each.name === sidecar,
    );
    assert.equal(container.securityContext.runAsUser, 2102);
    assert.equal(container.securityContext.runAsNonRoot, true);
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
    assert.equal(container.securityContext.allowPrivilegeEscalation, false);
    assert.deepEqual(container.securityContext.capabilities.drop, ["ALL"]);
    const mounted = new Set((container.volumeMounts as { name: string }[]).map(({ name }) => name));
    const volumes = (spec.volumes as { name: string }[]).filter(({ name }) => mounted.has(name));
    assert.doesNotMatch(JSON.stringify(volumes), /serviceAccountToken|secret/i);
    assert.match(JSON.stringify(spec.volumes), /serviceAccountToken/, "the application keeps its own");
  });
});

test("after an uninstall nothing of the mesh is left in the way of new pods", async () => {
  await uninstallMesh();
  for (const kind of [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "clusterroles",
    "apiservices",
  ]) {
    const names = (await getObjects(kind)).map((each) => each.metadata.name);
    assert.deepEqual(
      names.filter((name) => name.includes("nginx-mesh")),
      [],
      kind,
    );
  }
  await inNamespace(injected, async (namespace) => {
    await namespace.apply(...app({ name: "server" }));
    await namespace.ready("deployment/server");
    assert.deepEqual((await namespace.pods()).map(isInjected), [false]);
  });
  const gone = await attempt("kubectl", ["get", "namespace", meshNamespace]);
  assert.match(gone.stderr, /NotFound/);
});
