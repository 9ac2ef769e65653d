/** The three modes at both ends, and pods without a sidecar, as one table for HTTP and TCP. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Mode, type Outcome, outcomes } from "../fixtures/mtls-modes.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, meshConfig, workload } from "./workload.ts";

const modes: readonly Mode[] = ["off", "permissive", "strict"];
const offline = { OFFLINE: "50051,8081,7443" };

let mesh: TestMesh;
const clients = new Map<string, PodClient>();

function annotations(mode: Mode): Record<string, string> {
  return { "config.nsm.nginx.com/mtls-mode": mode };
}

function server(name: string, mode: Mode | undefined): string {
  const settings = mode === undefined ? { meshed: false } : { annotations: annotations(mode) };
  return workload({ name, ports: anything, probe: anythingReady, env: offline, ...settings });
}

before(async () => {
  const manifests: Record<string, string> = {
    "server-bare.yaml": server("server-bare", undefined),
    "client-bare.yaml": idle("client-bare", { meshed: false }),
  };
  for (const mode of modes) {
    manifests[`server-${mode}.yaml`] = server(`server-${mode}`, mode);
    manifests[`client-${mode}.yaml`] = idle(`client-${mode}`, { annotations: annotations(mode) });
  }
  mesh = await startMesh(manifests);
  for (const name of [...modes, "bare"]) {
    clients.set(name, startPodClient(mesh, `client-${name}`));
  }
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  clients.forEach((client) => client.stop());
  await mesh?.stop();
});

async function overHttp(from: string, to: string): Promise<Outcome> {
  const answer = await clients.get(from)!.run((tools, host) => tools.get(`http://${host}/`), `server-${to}`);
  if (answer.status === 200) {
    const asked = JSON.parse(answer.body) as { headers: Record<string, string> };
    const cert = asked.headers["x-forwarded-client-cert"];
    if (cert === undefined) {
      return "plain";
    }
    assert.equal(
      cert,
      `By=spiffe://example.org/ns/default/sa/server-${to};URI=spiffe://example.org/ns/default/sa/client-${from}`,
    );
    return "mtls";
  }
  assert.equal(answer.headers["content-type"], "text/plain");
  assert.match(answer.body, /^nginx-mesh: .*strict/);
  if (answer.status === 403) {
    assert.equal(answer.headers["nginx-mesh-error"], "plain-text-refused");
    return "refused by server";
  }
  assert.equal(answer.status, 503);
  assert.equal(answer.headers["nginx-mesh-error"], "no-endpoint");
  return "refused by client";
}

async function overTcp(from: string, to: string): Promise<"passed" | "closed"> {
  const answer = await clients
    .get(from)!
    .run(
      (tools, host) => tools.raw(host, 7000, { send: "ping", until: "ping", timeout: 4000 }),
      `server-${to}`,
    );
  if (answer.ended === "found") {
    return "passed";
  }
  assert.equal(answer.text, "");
  assert.notEqual(answer.ended, "timeout");
  return "closed";
}

for (const [from, to, expected] of outcomes) {
  test(`${from} to ${to}: ${expected}`, async () => {
    assert.equal(await overHttp(from, to), expected, "HTTP");
    assert.equal(await overTcp(from, to), expected.startsWith("refused") ? "closed" : "passed", "TCP");
    if (from !== "bare" && expected !== "refused by client") {
      const status = await sidecarStatus(await mesh.pod(`client-${from}`));
      const used = status.destinations?.filter((entry) => entry.destination.includes(`server-${to} `)) ?? [];
      assert.ok(used.length > 0);
      const encrypted = used.flatMap((entry) => entry.endpoints ?? []).map((endpoint) => endpoint.mtls);
      assert.ok(
        encrypted.every((yes) => yes === (expected === "mtls")),
        JSON.stringify(used),
      );
    }
  });
}

test("a server that speaks first, from a plain client: strict closes, permissive lets it speak", async () => {
  const first = (from: string, to: string): Promise<string> =>
    clients.get(from)!.run(async (tools, host) => {
      const answer = await tools.raw(host, 7001, { until: "\n", timeout: 1500 });
      return answer.text.split(" ")[0]!;
    }, `server-${to}`);
  assert.equal(await first("bare", "permissive"), "hello");
  assert.equal(await first("bare", "off"), "hello");
  assert.equal(await first("off", "permissive"), "hello");
  assert.equal(await first("strict", "strict"), "hello");
  assert.equal(await first("bare", "strict"), "");
});

test("a change of the mesh's mode is in force at once where no annotation says otherwise", async () => {
  const ask = (): Promise<number> =>
    clients.get("bare")!.run(async (tools) => (await tools.get("http://server-default/")).status, 0);
  mesh.write(
    "server-default.yaml",
    workload({ name: "server-default", ports: anything, probe: anythingReady, env: offline }),
  );
  await mesh.until("server-default", (view) =>
    view.pods.some((pod) => pod.owner.endsWith("/server-default") && pod.ready),
  );
  // the node learns of the pod a moment after it is ready
  await sleep(1000);
  assert.equal(await ask(), 200);
  mesh.write("settings.yaml", meshConfig({ mtls: { mode: "strict" } }));
  await sleep(1000);
  assert.equal(await ask(), 403);
  assert.equal(await overHttp("bare", "permissive"), "plain");
  mesh.write("settings.yaml", undefined);
  await sleep(1000);
  assert.equal(await ask(), 200);
});
