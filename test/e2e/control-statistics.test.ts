/** Statistics of a real mesh: what `top` shows of them, and what NATS lets a sidecar send and nobody else. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { certificatesToPem, privateKeyToPem } from "../../src/identity/der.ts";
import { watchSvid, type WorkloadIdentity } from "../../src/identity/workload-client.ts";
import { addressPlan } from "../../src/local/addresses.ts";
import { readRecord } from "../../src/local/host.ts";
import { podFolder } from "../../src/local/layout.ts";
import { inboxPrefix, keySubjectPrefix, statisticsSubject } from "../../src/wire/keys.ts";
import { type Load, load, loadOf } from "./load.ts";
import { client, server } from "./manifests.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { outputsOf } from "./outputs.ts";
import { sidecarStatus } from "./sidecar.ts";

/** Milliseconds that each answer of `web` takes. */
const delay = 40;

let mesh: TestMesh;
let caller: Load;

before(async () => {
  mesh = await startMesh({ "web.yaml": server({ name: "web", replicas: 2, env: { DELAY: String(delay) } }) });
  // afterwards, so that no request comes before there is an endpoint
  mesh.write("load.yaml", load({ rate: 50 }));
  await mesh.until("the load runs", ({ pods }) => pods.length === 3 && pods.every(({ ready }) => ready));
  caller = await loadOf(mesh);
});
after(() => mesh?.stop());

const { json, text } = outputsOf(() => mesh);

interface Counts {
  readonly success: number;
  readonly failure: number;
  readonly p50?: number;
}

interface Top {
  readonly window: number;
  readonly resources: readonly {
    readonly resource: { readonly name: string };
    readonly incoming?: Counts;
    readonly outgoing?: Counts;
  }[];
}

/** Of one deployment, as JSON. */
async function traffic(name: string): Promise<{ incoming?: Counts; outgoing?: Counts }> {
  const top = (await json("-n", "default", "top", "deployments")) as Top;
  assert.equal(top.window, 30);
  return top.resources.find(({ resource }) => resource.name === name) ?? {};
}

/** The cells of each line but the first, which is compared. */
function cells(table: string, header: string): string[][] {
  const [first, ...lines] = table.trimEnd().split("\n");
  assert.equal(first?.replaceAll(/ {2,}/g, " | "), header);
  return lines.map((line) => line.split(/ {2,}/));
}

/** What a cell of text says in milliseconds. */
function milliseconds(cell: string | undefined): number {
  return Number(/^([\d.]+)ms$/.exec(cell ?? "")?.[1]);
}

test("top: kinds and one kind, as text and as JSON; counts are those of the client", async () => {
  const end = Date.now() + 10_000;
  while (((await traffic("web")).incoming?.success ?? 0) < 50) {
    assert.ok(Date.now() < end, "no requests in 10 s");
    await sleep(100);
  }
  const { incoming, outgoing } = await traffic("web");
  assert.deepEqual([incoming?.failure, outgoing], [0, undefined]);
  assert.ok((incoming?.success ?? 0) <= (await caller.report()).requests, "more than were sent");
  assert.ok((incoming?.p50 ?? 0) >= delay / 2 && (incoming?.p50 ?? 0) < 20 * delay, `p50 ${incoming?.p50}`);
  const header = (kind: string): string => `${kind} | Incoming Success | Outgoing Success | NumRequests`;
  for (const args of [["top"], ["-n", "default", "top", "deployments"]]) {
    const [client, service, ...others] = cells(await text(...args), header("Deployment"));
    assert.deepEqual([client?.slice(0, 2), others], [["load", "100.00%"], []]);
    assert.deepEqual(service?.slice(0, 2), ["web", "100.00%"]);
    assert.ok(
      Number(service?.[2]) >= 50 && Number(client?.[2]) >= 50,
      `${client?.join()} ${service?.join()}`,
    );
  }
  const pods = cells(await text("top", "pods"), header("Pod"));
  assert.deepEqual(
    pods.map(([pod]) => pod),
    (await mesh.view()).pods.map(({ name }) => name).sort(),
  );
  const namespaces = cells(await text("top", "namespaces"), header("Namespace"));
  assert.deepEqual(
    namespaces.map((row) => row.slice(0, 3)),
    [["default", "100.00%", "100.00%"]],
  );
  assert.match(
    await text("-n", "other", "top"),
    /^No traffic of deployments in namespace other .* in default /,
  );
  const { status, stdout, stderr } = await mesh.meshctl("top", "horses");
  assert.deepEqual([status, stdout], [2, ""]);
  assert.match(stderr, /"horses" is not a kind/);
});

test("top: the edges of one resource, as text and as JSON", async () => {
  const header = "Deployment | Direction | Resource | Success Rate | P99 | P90 | P50 | NumRequests";
  for (const [name, direction, other] of [
    ["web", "From", "load"],
    ["load", "To", "web"],
  ] as const) {
    const [own, edge, ...more] = cells(await text("top", `deployments/${name}`), header);
    assert.deepEqual([own, edge?.slice(0, 4), more], [[name], ["", direction, other, "100.00%"], []]);
    const [p99, p90, p50] = [edge?.[4], edge?.[5], edge?.[6]].map(milliseconds) as [number, number, number];
    assert.ok(p99 >= p90 && p90 >= p50 && p50 >= delay / 2 && p50 < 20 * delay, edge?.join(" "));
    assert.ok(Number(edge?.[7]) >= 50 && edge?.length === 8, edge?.join(" "));
  }
  const { edges } = (await json("top", "deploy/web")) as { edges: { direction: string; counts: Counts }[] };
  assert.deepEqual([edges.length, edges[0]?.direction, edges[0]?.counts.failure], [1, "from", 0]);
  assert.match(await text("top", "deployments/missing"), /No traffic of deployments missing/);
});

test("top: failures are counted as such, on both sides, and lower the rate", async () => {
  mesh.write("broken.yaml", server({ name: "broken" }));
  mesh.write("asker.yaml", client("asker"));
  await mesh.until("both run", ({ pods }) => pods.length === 5 && pods.every(({ ready }) => ready));
  const urls = [200, 500, 404, 503, 200].map((status) => `http://broken/status/${status}`);
  const each = urls.flatMap((url) => ["-o", "/dev/null", url]);
  const asked = await mesh.exec("asker", "curl", "-sS", "-w", "%{http_code} ", ...each);
  assert.equal(asked.stdout, "200 500 404 503 200 ", asked.stderr);
  const end = Date.now() + 10_000;
  const total = (counts?: Counts): number => (counts?.success ?? 0) + (counts?.failure ?? 0);
  let both = [await traffic("broken"), await traffic("asker")] as const;
  while (total(both[0].incoming) < urls.length || total(both[1].outgoing) < urls.length) {
    assert.ok(Date.now() < end, JSON.stringify(both));
    await sleep(100);
    both = [await traffic("broken"), await traffic("asker")];
  }
  for (const counts of [both[0].incoming, both[1].outgoing]) {
    assert.deepEqual([counts?.success, counts?.failure], [3, 2]);
  }
  const row = (await text("top", "deployments/broken")).split("\n").find((line) => line.includes("asker"));
  assert.deepEqual(row?.split(/ {2,}/).slice(1, 4), ["From", "asker", "60.00%"]);
});

/** What the Workload API gives the pod's sidecar. */
async function identityOf(workload: string): Promise<WorkloadIdentity> {
  const { number } = await mesh.pod(workload);
  const watch = watchSvid(join(podFolder(mesh.layout, number), "spire", "agent.sock"), () => undefined);
  try {
    return await watch.first;
  } finally {
    watch.close();
  }
}

function connectNats(bundle: WorkloadIdentity["bundle"], own?: WorkloadIdentity): Promise<NatsConnection> {
  const pair =
    own === undefined
      ? {}
      : { cert: certificatesToPem(own.certificates), key: privateKeyToPem(own.key.reveal()) };
  return connect({
    servers: `${addressPlan(readRecord(mesh.layout)!.network).gateway}:4222`,
    tls: {
      handshakeFirst: true,
      ca: certificatesToPem(bundle),
      ...pair,
      checkServerIdentity: () => undefined,
    } as object,
    inboxPrefix: inboxPrefix("default", "load"),
    reconnect: false,
    timeout: 5_000,
  });
}

test("NATS refuses a client without a certificate", async () => {
  const { bundle } = await identityOf("load");
  await assert.rejects(connectNats(bundle));
});

test("a sidecar's identity may send its own statistics, and neither keys nor others' statistics", async () => {
  const own = await identityOf("load");
  const connection = await connectNats(own.bundle, own);
  try {
    const errors: string[] = [];
    void (async () => {
      for await (const status of connection.status()) {
        if (status.type === "error") {
          errors.push(String(status.error));
        }
      }
    })();
    const web = await mesh.pod("web");
    const target = await mesh.pod("load");
    connection.publish(statisticsSubject("default", "load", target.name), "not statistics");
    await connection.flush();
    await sleep(200);
    assert.deepEqual(errors, []);
    connection.publish(`${keySubjectPrefix}service.default.web`, "{}");
    connection.publish(statisticsSubject("default", "web", web.name), "{}");
    await connection.flush();
    await sleep(200);
    assert.equal(errors.length, 2, errors.join("; "));
    const { status, stdout } = await mesh.exec("load", "curl", "-sS", "-f", "http://web/");
    assert.equal(status, 0);
    assert.match(stdout, /"pod":"web-/);
    assert.equal((await sidecarStatus(target)).ready, true);
  } finally {
    await connection.close();
  }
  assert.equal(
    (await mesh.meshctl("status")).status,
    0,
    "the controller goes on after statistics that are none",
  );
});
