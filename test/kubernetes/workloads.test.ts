/** Kinds of workloads, probes and ports, in strict mode where it matters. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { app, appContainer, appDeployment, appService } from "./app.ts";
import { attempt, described, inNamespace, isReady, namespaceNamed, until } from "./fixture.ts";
import {
  callerOf,
  ensureMesh,
  get,
  identity,
  injected,
  isInjected,
  meshNamespace,
  meshPods,
  type Mode,
  modeAnnotation,
} from "./mesh.ts";

before(() => ensureMesh());

interface Probe {
  readonly name: string;
  readonly good: object;
  readonly bad: object;
}

const probes: readonly Probe[] = [
  {
    name: "http",
    good: { httpGet: { path: "/ready?full=yes", port: 8080 } },
    bad: { httpGet: { path: "/status/503", port: 8080 } },
  },
  {
    name: "https",
    good: { httpGet: { path: "/ready", port: 8443, scheme: "HTTPS" } },
    bad: { httpGet: { path: "/status/500", port: 8443, scheme: "HTTPS" } },
  },
  { name: "tcp", good: { tcpSocket: { port: 7000 } }, bad: { tcpSocket: { port: 7999 } } },
  { name: "grpc", good: { grpc: { port: 50051 } }, bad: { grpc: { port: 8080 } } },
  { name: "exec", good: { exec: { command: ["true"] } }, bad: { exec: { command: ["sh", "-c", "exit 1"] } } },
];

test("probes of each kind work in strict mode, and fail when the application does", async (context) => {
  await inNamespace(injected, async (namespace) => {
    const annotations = modeAnnotation("strict");
    for (const { name, good, bad } of probes) {
      const probe = { ...good, periodSeconds: 1 };
      const all = { readinessProbe: probe, livenessProbe: probe, startupProbe: probe };
      await namespace.apply(
        ...appDeployment({ name: `${name}-good`, annotations, container: all }),
        ...appDeployment({
          name: `${name}-bad`,
          annotations,
          container: { readinessProbe: { ...bad, periodSeconds: 1 } },
        }),
      );
    }
    for (const { name } of probes) {
      await context.test(name, () =>
        described(namespace.name, async () => {
          await namespace.ready(`deployment/${name}-good`);
          const pods = await namespace.pods(`app=${name}-bad`);
          const [pod] = pods;
          assert.ok(pod !== undefined && isInjected(pod));
          const message = await until("a failed probe is an event", 30, async () => {
            const selector = `involvedObject.name=${pod.metadata.name},reason=Unhealthy`;
            const text = await namespace.kubectl(
              "get",
              "events",
              "--field-selector",
              selector,
              "--output=jsonpath={.items[*].message}",
            );
            return text === "" ? undefined : text;
          });
          assert.match(message, /Readiness probe/);
          assert.ok(!(await namespace.pods(`app=${name}-bad`)).some(isReady));
        }),
      );
    }
  });
});

test("a Job that asks others completes, and its pod ends", async () => {
  await inNamespace(injected, async (namespace) => {
    await namespace.apply(...app({ name: "server", annotations: modeAnnotation("strict") }));
    await namespace.ready("deployment/server");
    await namespace.apply({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "job" },
      spec: {
        backoffLimit: 0,
        completions: 2,
        template: {
          metadata: { labels: { app: "job" } },
          spec: { restartPolicy: "Never", containers: [appContainer(["get", "http://server/"])] },
        },
      },
    });
    await namespace.kubectl("wait", "--for=condition=complete", "job/job", "--timeout=60s");
    const pods = await namespace.pods("app=job");
    assert.ok(pods.length === 2 && pods.every(isInjected));
    await until("the pods end", 30, async () =>
      (await namespace.pods("app=job")).every((pod) => pod["status"].phase === "Succeeded")
        ? true
        : undefined,
    );
    assert.match(await namespace.kubectl("logs", "job/job", "--container=app"), /"status":200/);
  });
});

test("pods of a headless StatefulSet reach each other by name", async () => {
  await inNamespace(injected, async (namespace) => {
    const template = {
      metadata: { labels: { app: "peers" } },
      spec: {
        containers: [
          appContainer(["serve"], { readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }),
        ],
      },
    };
    const selector = { matchLabels: { app: "peers" } };
    await namespace.apply(appService("peers", { clusterIP: "None" }), {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "peers" },
      spec: { serviceName: "peers", replicas: 2, selector, template },
    });
    await namespace.ready("statefulset/peers");
    const answer = await get(
      namespace,
      "statefulset.kubernetes.io/pod-name=peers-0",
      "http://peers-1.peers:8080/",
    );
    assert.equal(answer.status, 200);
    assert.equal((JSON.parse(answer.body) as { pod: string }).pod, "peers-1");
    assert.equal(callerOf(answer), identity(namespace.name, "default"));
  });
});

test("a DaemonSet's and a bare pod's marks name their kind", async () => {
  await inNamespace(injected, async (namespace) => {
    const containers = [appContainer(["serve"])];
    await namespace.apply(
      {
        apiVersion: "apps/v1",
        kind: "DaemonSet",
        metadata: { name: "agent" },
        spec: {
          selector: { matchLabels: { app: "agent" } },
          template: { metadata: { labels: { app: "agent" } }, spec: { containers } },
        },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "alone", labels: { app: "alone" } },
        spec: { containers },
      },
    );
    await namespace.ready("daemonset/agent");
    for (const pod of await namespace.pods("app=agent")) {
      assert.ok(isInjected(pod));
      assert.equal(pod.metadata.labels?.["nsm.nginx.com/daemonset"], "agent");
      assert.equal(pod.metadata.annotations?.["injector.nsm.nginx.com/status"], "injected");
    }
    await namespace.kubectl("wait", "--for=condition=Ready", "pod/alone", "--timeout=60s");
    assert.deepEqual((await namespace.pods("app=alone")).map(isInjected), [true]);
  });
});

test("a port of the node leads to pods of the mesh in their mode, from pods and from the node itself", async (context) => {
  await inNamespace(injected, async (namespace) => {
    const served = (mode: Mode, hostPort: number): readonly object[] =>
      appDeployment({
        name: mode,
        annotations: modeAnnotation(mode),
        container: { ports: [{ containerPort: 8080, hostPort }] },
      });
    const bare = { "injector.nsm.nginx.com/auto-inject": "disabled" };
    // its application would take the node's own ports
    const waiting = { command: ["sleep"], args: ["100000"], readinessProbe: null };
    await namespace.apply(
      ...served("permissive", 18080),
      ...served("strict", 18081),
      ...appDeployment({ name: "meshed" }),
      ...appDeployment({ name: "outsider", labels: bare }),
      ...appDeployment({ name: "node", labels: bare, container: waiting, pod: { hostNetwork: true } }),
    );
    const names = ["permissive", "strict", "meshed", "outsider", "node"];
    await namespace.ready(...names.map((name) => `deployment/${name}`));
    for (const [mode, port, status] of [
      ["permissive", 18080, 200],
      // whoever asks by a node's address is not sent to a pod, so it sends plain text
      ["strict", 18081, 403],
    ] as const) {
      const [pod] = await namespace.pods(`app=${mode}`);
      const url = `http://${pod?.["status"].hostIP}:${port}/`;
      for (const from of ["meshed", "outsider", "node"]) {
        await context.test(`${from} to a pod in mode ${mode}`, () =>
          described(namespace.name, async () => {
            assert.equal((await get(namespace, `app=${from}`, url)).status, status);
          }),
        );
      }
    }
  });
});

test("a pod that cannot be meshed is refused, and the message says why", async () => {
  await inNamespace(injected, async (namespace) => {
    const pod = (name: string, spec: object): string =>
      JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: namespace.name }, spec });
    const twice = [
      { name: "one", containerPort: 8080 },
      { name: "two", containerPort: 8080 },
    ];
    const sctp = [{ name: "sctp", containerPort: 9999, protocol: "SCTP" }];
    for (const [name, spec, reason] of [
      ["twice", { containers: [appContainer(["serve"], { ports: twice })] }, /8080/],
      ["sctp", { containers: [appContainer(["serve"], { ports: sctp })] }, /SCTP/],
      ["node", { containers: [appContainer(["serve"])], hostNetwork: true }, /hostNetwork/],
    ] as const) {
      const input = pod(name, spec);
      const ended = await attempt("kubectl", ["apply", "-f", "-"], { input });
      assert.notEqual(ended.status, 0, name);
      assert.match(ended.stderr, reason);
      assert.match(ended.stderr, /nginx-mesh|webhook/);
    }
  });
});

test("an application does not start before its sidecar is ready; meanwhile the init container says what is missing", async () => {
  const mesh = namespaceNamed(meshNamespace);
  const nats = (replicas: number) =>
    mesh.kubectl("scale", "deployment/nats-server", `--replicas=${replicas}`);
  await inNamespace(injected, async (namespace) => {
    const init = (name: string) => namespace.kubectl("logs", name, "--container=nginx-mesh-init");
    const status = async (name: string) =>
      (await namespace.pods(`app=${name}`))[0]!["status"] as {
        initContainerStatuses: { restartCount: number }[];
        containerStatuses: { restartCount: number; state: object }[];
      };
    await nats(0);
    try {
      await until("the end of NATS", 60, async () =>
        (await meshPods("nats-server")).length === 0 ? true : undefined,
      );
      const pod = (name: string): object => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, labels: { app: name } },
        spec: { containers: [appContainer(["serve"])] },
      });
      await namespace.apply(pod("waits"), pod("deleted"));
      const reason = /^waiting for the sidecar: no connection to NATS yet: /m;
      for (const name of ["waits", "deleted"]) {
        await until(`the reason of ${name}`, 60, async () => reason.test(await init(name)) || undefined);
        assert.deepEqual(Object.keys((await status(name)).containerStatuses[0]!.state), ["waiting"]);
      }
      // nothing has begun, so nothing is waited for: the pod's grace is 30 s
      await namespace.kubectl("delete", "pod", "deleted", "--timeout=15s");
    } finally {
      await nats(1);
      await mesh.ready("deployment/nats-server");
    }
    await namespace.kubectl("wait", "--for=condition=Ready", "pod/waits", "--timeout=60s");
    assert.match(await init("waits"), /^the sidecar is ready after \d+\.\d s$/m);
    const { initContainerStatuses, containerStatuses } = await status("waits");
    const restarts = [...initContainerStatuses, ...containerStatuses].map((each) => each.restartCount);
    assert.deepEqual(restarts, [0, 0, 0]);
  });
});
