/** The cluster itself: what the mesh relies on works without the mesh. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerOf, app, appContainer, appService, type Request } from "./app.ts";
import { getObjects, inNamespace, isReady, kubectl, until } from "./fixture.ts";
import { assertNoneFailed, startLoad } from "./load.ts";

const onEachNode = {
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: "kubernetes.io/hostname",
      whenUnsatisfiable: "DoNotSchedule",
      labelSelector: { matchLabels: { app: "web" } },
    },
  ],
};

test("pods of every node reach Services, names and each other", async () => {
  const nodes = await getObjects("nodes");
  await inNamespace({}, async (namespace) => {
    await namespace.apply(...app({ name: "web", replicas: nodes.length, pod: onEachNode }));
    await namespace.apply(appService("headless", { clusterIP: "None", selector: { app: "web" } }));
    await namespace.ready("deployment/web");
    const pods = await namespace.pods("app=web");
    const used = new Set(pods.map((pod) => pod["spec"].nodeName as string));
    assert.deepEqual([...used].sort(), nodes.map((node) => node.metadata.name).sort());
    for (const pod of pods) {
      const answered = new Set<string>();
      const get = (url: string) =>
        namespace.kubectl("exec", pod.metadata.name, "--container=app", "--", "/app", "get", url);
      await until(`${pod.metadata.name} hears all pods through the Service`, 30, async () => {
        const answer = answerOf({
          status: 0,
          stderr: "",
          stdout: await get(`http://web.${namespace.name}.svc/`),
        });
        answered.add((JSON.parse(answer?.body ?? "{}") as Request).pod);
        return answered.size === pods.length ? true : undefined;
      });
      for (const other of pods) {
        assert.match(await get(`http://${other["status"].podIP}:8080/`), /"status":200/);
      }
      assert.match(await get("http://headless:8080/"), /"status":200/);
      assert.match(await get(`https://web.${namespace.name}.svc.cluster.local:8443/`), /"status":200/);
    }
  });
});

test("a native sidecar runs beside a Job, after an init container with NET_ADMIN, and the Job completes", async () => {
  await inNamespace({}, async (namespace) => {
    const securityContext = {
      runAsUser: 0,
      runAsNonRoot: false,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
    };
    const address = "ip addr add 192.0.2.1/32 dev lo";
    const init = appContainer([], { name: "rules", command: ["sh", "-c", address], securityContext });
    const sidecar = appContainer(["serve"], { name: "sidecar", restartPolicy: "Always" });
    const command = ["sh", "-c", "/app get http://192.0.2.1:8080/"];
    await namespace.apply({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "job" },
      spec: {
        backoffLimit: 0,
        template: {
          spec: {
            restartPolicy: "Never",
            initContainers: [
              init,
              { ...sidecar, startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } },
            ],
            containers: [appContainer([], { command })],
          },
        },
      },
    });
    await namespace.kubectl("wait", "--for=condition=complete", "job/job", "--timeout=60s");
    assert.match(await namespace.kubectl("logs", "job/job", "--container=app"), /"status":200/);
  });
});

test("a volume is bound, and what is written to it outlives the pod", async () => {
  await inNamespace({}, async (namespace) => {
    const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
    const pod = (name: string, script: string): object => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name },
      spec: {
        restartPolicy: "Never",
        securityContext: { fsGroup: 65532 },
        containers: [
          appContainer([], {
            command: ["sh", "-c", script],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          }),
        ],
        volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
      },
    });
    const ended = ["--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"];
    await namespace.apply({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "data" },
      spec: claim,
    });
    await namespace.apply(pod("writer", `echo ${namespace.name} >/data/name`));
    await namespace.kubectl("wait", "pod/writer", ...ended);
    await namespace.apply(pod("reader", "cat /data/name"));
    await namespace.kubectl("wait", "pod/reader", ...ended);
    assert.equal((await namespace.kubectl("logs", "reader")).trim(), namespace.name);
  });
});

test("load without a change loses nothing, and the fixture sees a failure", async () => {
  await inNamespace({}, async (namespace) => {
    await namespace.apply(...app({ name: "web", replicas: 2 }));
    await namespace.ready("deployment/web");
    const good = await startLoad(namespace, { name: "good", url: "http://web/", fresh: true });
    const bad = await startLoad(namespace, { name: "bad", url: "http://web/status/503" });
    await new Promise((done) => setTimeout(done, 3000));
    const [goodResult, badResult] = await Promise.all([good.stop(), bad.stop()]);
    assertNoneFailed(goodResult, 50);
    assert.equal(Object.keys(goodResult.pods).length, 2);
    assert.throws(() => assertNoneFailed(badResult, 1), /status 503/);
  });
});

test("the API server reaches pods, containers and logs", async () => {
  await inNamespace({}, async (namespace) => {
    await namespace.apply(...app({ name: "web" }));
    await namespace.ready("deployment/web");
    const [pod] = (await namespace.pods("app=web")).filter(isReady);
    assert.ok(pod !== undefined);
    const path = `/api/v1/namespaces/${namespace.name}/pods/${pod.metadata.name}:8080/proxy/hello`;
    assert.match(await kubectl("get", "--raw", path), /"path":"\/hello"/);
    const executed = await namespace.exec("app=web", "app", "cat", "/etc/resolv.conf");
    assert.match(executed.stdout, /svc\.cluster\.local/);
    const policies = await getObjects("networkpolicies", "--namespace", namespace.name);
    assert.equal(policies.length, 0);
  });
});
