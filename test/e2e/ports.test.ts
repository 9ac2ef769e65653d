/** The sidecar's fixed ports: which answer, with what, and to whom. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ports } from "../../src/wire/sidecar.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { askPod, showSidecars, sidecarMetrics, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, meshConfig, workload } from "./workload.ts";

const inner = [8888, 8889, 8890, 8891, 8892, 8893, 8894, 8902, 8903, 8904, 8905, 8906, 8907];

let mesh: TestMesh;
let client: PodClient;
let outsider: PodClient;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({
      name: "server",
      ports: anything,
      probe: { httpGet: { path: "/healthz?deep=1", port: 8080 }, periodSeconds: 1 },
      annotations: { "config.nsm.nginx.com/mtls-mode": "strict" },
    }),
    "secure.yaml": workload({
      name: "secure",
      ports: [{ name: "tcp-tls", port: 7443 }],
      probe: { httpGet: { path: "/x", port: 7443, scheme: "HTTPS" }, periodSeconds: 1 },
      command: ["node", "secure.ts"],
    }),
    "client.yaml": idle("client"),
    "pair.yaml": idle("pair", { replicas: 2 }),
    "outsider.yaml": idle("outsider", { meshed: false }),
    "ready.yaml": workload({ name: "ready", ports: anything, probe: anythingReady }),
    "bare.yaml": idle("bare", {
      annotations: { "config.nsm.nginx.com/ignore-incoming-ports": inner.join(",") },
    }),
  });
  client = startPodClient(mesh, "client");
  outsider = startPodClient(mesh, "outsider");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  outsider?.stop();
  await mesh?.stop();
});

test("8886: the configuration's version is the same where the same is held, and another while it differs", async () => {
  const pair = (await mesh.view()).pods.filter((pod) => pod.owner === "deployment/pair");
  assert.equal(pair.length, 2);
  const versions = async (): Promise<readonly [string, string]> => {
    const [first, second] = await Promise.all(pair.map(sidecarStatus));
    return [first!.configuration.version, second!.configuration.version];
  };
  const both = async (wanted: (version: string) => boolean): Promise<string> => {
    for (let times = 0; times < 100; times += 1) {
      const [first, second] = await versions();
      if (first === second && wanted(first)) {
        return first;
      }
      await sleep(50);
    }
    return assert.fail(`versions ${(await versions()).join(" and ")}`);
  };
  const empty = await both((version) => /^[0-9a-f]{8}$/.test(version));
  await mesh.exec(pair[0]!.name, "curl", "-sS", "--max-time", "5", "http://server/");
  const [ahead, behind] = await versions();
  assert.notEqual(ahead, behind);
  await mesh.exec(pair[1]!.name, "curl", "-sS", "--max-time", "5", "http://server/");
  const before = await both((version) => version !== empty);
  mesh.write("config.yaml", meshConfig({ clientMaxBodySize: "2m" }));
  const changed = await both((version) => version !== before);
  assert.notEqual(changed, empty);
  mesh.write("config.yaml", undefined);
  await both((version) => version === before);
});

test("8886: state as JSON, to clients with and without a sidecar", async () => {
  await client.run((tools) => tools.get("http://server/"), 0);
  const pod = await mesh.pod("client");
  const status = await sidecarStatus(pod);
  assert.equal(status.ready, true);
  assert.equal(status.pod, `default/${pod.name}`);
  assert.equal(status.svid.spiffeId, "spiffe://example.org/ns/default/sa/client");
  assert.ok(status.configuration.keys >= 3);
  const now = Date.now() / 1000;
  const { configuration, nats, svid } = status;
  assert.ok(configuration.changedAt > now - 300 && configuration.changedAt <= now + 1, "last change");
  assert.deepEqual(
    [configuration.complete, configuration.mtlsMode, nats.state, nats.reconnects],
    [true, "permissive", "connected", 0],
  );
  assert.ok(svid.expiresAt > now && svid.expiresAt < now + 3700 && svid.updates >= 1, JSON.stringify(svid));
  const endpoint = status.destinations?.[0]?.endpoints?.[0];
  assert.deepEqual(
    [endpoint?.state, endpoint?.reason, endpoint?.mtls, endpoint?.port, endpoint?.pod],
    ["ready", "", true, 8080, (await mesh.pod("server")).name],
  );
  assert.ok((endpoint?.requests ?? 0) >= 1 && endpoint?.inFlight === 0, JSON.stringify(endpoint));
  for (const from of [client, outsider]) {
    const { address } = await mesh.pod("server");
    const answer = await from.run((tools, url) => tools.get(url), `http://${address}:${ports.status}/`);
    assert.equal(answer.status, 200);
    assert.equal((JSON.parse(answer.body) as { ready: boolean }).ready, true);
  }
});

test("8887: metrics that promtool accepts, with the names of the reference", async () => {
  await client.run(async (tools) => {
    await tools.get("http://server/");
    await tools.raw("server", 7000, { send: "ping", until: "ping" });
  }, 0);
  let text = "";
  // a connection counts when it has ended, which the sidecar sees a moment later
  for (let i = 0; i < 40 && !text.includes("nginxplus_stream"); i += 1) {
    await sleep(50);
    text = await sidecarMetrics(await mesh.pod("client"));
  }
  const checked = await new Promise<{ status: unknown; said: string }>((resolve) => {
    const child = execFile("promtool", ["check", "metrics"], (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, said: stdout + stderr }),
    );
    child.stdin?.end(text);
  });
  // names of NSM are kept, also where they break promtool's advice (its status 3)
  assert.ok(checked.status === 0 || checked.status === 3, checked.said);
  assert.doesNotMatch(checked.said, /error|unexpected|invalid/i);
  for (const name of [
    "nginxplus_connections_active",
    "nginxplus_http_requests_total",
    "nginxplus_upstream_server_requests",
    "nginxplus_upstream_server_responses",
    "nginxplus_upstream_server_response_latency_ms_bucket",
    "nginxplus_stream_upstream_server_sent",
    "nginxplus_stream_upstream_server_received",
    "nginxplus_stream_upstream_server_connections",
    "nginxplus_stream_upstream_server_connect_time",
    "nginxplus_stream_upstream_server_first_byte_time",
    "nginxplus_stream_upstream_server_response_time",
  ]) {
    assert.match(text, new RegExp(`^${name}\\b`, "m"), name);
  }
  assert.match(
    text,
    /^nginxplus_upstream_server_responses\{[^}]*dst_deployment="server"[^}]*code="2xx"[^}]*\} [1-9]/m,
  );
});

test("8887: nothing else is there", async () => {
  for (const path of ["/", "/index.html", "/metrics/x"]) {
    assert.equal((await askPod(await mesh.pod("client"), ports.metrics, path)).status, 404, path);
  }
});

test("8895: exactly the pod's HTTP probe, in strict mode too, without an identity", async () => {
  const pod = await mesh.pod("server");
  const probe = await askPod(pod, ports.httpProbes, "/8080/healthz?deep=1");
  assert.equal(probe.status, 200);
  const asked = JSON.parse(probe.body) as { url: string; headers: Record<string, string> };
  assert.equal(asked.url, "/healthz?deep=1");
  assert.equal(asked.headers["x-forwarded-client-cert"], undefined);
  for (const other of ["/8080/", "/8080/healthz", "/8080/healthz?deep=2", "/8081/healthz?deep=1", "/"]) {
    assert.equal((await askPod(pod, ports.httpProbes, other)).status, 404, other);
  }
  const fromPod = await outsider.run(
    (tools, url) => tools.get(url),
    `http://${pod.address}:${ports.httpProbes}/8080/healthz?deep=1`,
  );
  assert.equal(fromPod.status, 200);
});

test("8896: an HTTPS probe, whatever the certificate", async () => {
  const pod = await mesh.pod("secure");
  const probe = await askPod(pod, ports.httpsProbes, "/7443/x");
  assert.deepEqual([probe.status, probe.body], [200, "secure /x"]);
  assert.equal((await askPod(pod, ports.httpsProbes, "/7443/y")).status, 404);
  assert.equal((await askPod(pod, ports.httpProbes, "/7443/x")).status, 404);
});

test("the ports between are not to be reached from other pods", async () => {
  const { address } = await mesh.pod("ready");
  for (const from of [client, outsider]) {
    const answers = await from.run(
      async (tools, given) => {
        const asked = given.inner.map(async (port) => {
          const answer = await tools.raw(given.address, port, {
            send: "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            timeout: 1500,
          });
          return { port, text: answer.text };
        });
        return Promise.all(asked);
      },
      { address, inner: [...inner, ports.outgoing, ports.incoming] },
    );
    for (const { port, text } of answers) {
      assert.doesNotMatch(text, /^HTTP\/1.1 [123]/, `${port}: ${text}`);
      assert.doesNotMatch(text, /served-by|"pod"/, `${port}: ${text}`);
    }
  }
});

/** What a pod without a sidecar, so without one that accepts for it, meets at each inner port of another pod. */
async function knock(address: string): Promise<Record<number, string>> {
  return outsider.run(
    async (tools, given) => {
      const ask = (port: number): Promise<[number, string]> =>
        new Promise((resolve) => {
          let met = "";
          const socket = tools.net.connect({ host: given.address, port });
          const done = (end: string): void => {
            resolve([port, `${met}${end}`]);
            socket.destroy();
          };
          socket.on("connect", () => {
            met = "accepted, ";
            socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Client-Cert: URI=forged\r\n\r\n");
          });
          socket.on("data", (chunk: Buffer) => done(chunk.toString("latin1")));
          socket.on("end", () => done("closed"));
          socket.on("error", (error: NodeJS.ErrnoException) =>
            done(error.code === "ECONNRESET" ? "closed" : String(error.code)),
          );
          socket.setTimeout(5000, () => done("silent"));
        });
      return Object.fromEntries(await Promise.all(given.inner.map(ask))) as Record<number, string>;
    },
    { address, inner },
  );
}

function each(met: string): Record<number, string> {
  return Object.fromEntries(inner.map((port) => [port, met]));
}

test("the ports between are captured like any other, and the sidecar closes what it has captured", async () => {
  assert.deepEqual(await knock((await mesh.pod("ready")).address), each("accepted, closed"));
});

test("the ports between are open on the pod's loopback alone: without the capture rules nothing listens", async () => {
  assert.deepEqual(await knock((await mesh.pod("bare")).address), each("ECONNREFUSED"));
});

test("an application that connects to its own sidecar's ports gains nothing", async () => {
  const { address } = await mesh.pod("client");
  const answers = await client.run(
    async (tools, given) => {
      const seen: { to: string; text: string; ended: string }[] = [];
      for (const host of ["127.0.0.1", given.address]) {
        for (const port of given.inner) {
          const answer = await tools.raw(host, port, {
            send: "GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n",
            timeout: 1500,
          });
          seen.push({ to: `${host}:${port}`, text: answer.text, ended: answer.ended });
        }
      }
      return seen;
    },
    { address, inner: [...inner, ports.outgoing, ports.incoming] },
  );
  for (const { to, text } of answers) {
    assert.doesNotMatch(text, /^HTTP\/1.1 [123]/, `${to}: ${text}`);
  }
});

test("each inner port answers on its pod's loopback, gRPC beside HTTP", async () => {
  const statuses = await client.run(async (tools) => {
    const ask = async (port: number): Promise<string> => {
      const answer = await tools.raw("127.0.0.1", port, {
        send: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        timeout: 3000,
      });
      return `${/^HTTP\/1.1 (\d+)/.exec(answer.text)?.[1] ?? answer.ended.replace("reset", "closed")} ${/^nginx-mesh-error: (\S+)/im.exec(answer.text)?.[1] ?? ""}`.trim();
    };
    return {
      8889: await ask(8889),
      8892: await ask(8892),
      8894: await ask(8894),
      8902: await ask(8902),
      8903: await ask(8903),
      8905: await ask(8905),
    };
  }, 0);
  assert.deepEqual(statuses, {
    8889: "502 unknown-service",
    8892: "502 unknown-service",
    8894: "502 unknown-service",
    8902: "502 unknown-service",
    8903: "403 plain-text-refused",
    8905: "closed",
  });
});
