/** The command line tool against a real mesh, and what NATS of a real mesh refuses. */
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
import { load } from "./load.ts";
import { server } from "./manifests.ts";
import { meshctl, runProgram, startMesh, type TestMesh } from "./mesh.ts";
import { partProcess } from "./processes.ts";
import { sidecarStatus } from "./sidecar.ts";

let mesh: TestMesh;

before(async () => {
  mesh = await startMesh({
    "web.yaml": server({ name: "web", replicas: 2 }),
    "load.yaml": load({ rate: 50 }),
  });
});
after(() => mesh?.stop());

async function json(...args: readonly string[]): Promise<unknown> {
  const { status, stdout, stderr } = await mesh.meshctl(...args, "-o", "json");
  assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
  return JSON.parse(stdout) as unknown;
}

async function text(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await mesh.meshctl(...args);
  assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

test("status, services and config: as text and as JSON", async () => {
  assert.match(await text("status"), /Pods\s+3 of 3 ready, 3 in the mesh/);
  assert.equal(((await json("status")) as { ok: boolean }).ok, true);
  assert.match(await text("services"), /^default\/web +80 +http +10\.\S+ +8080 +web-\S+/m);
  const listed = (await json("services")) as { name: string; ports: { upstreams: object[] }[] }[];
  assert.equal(listed.find(({ name }) => name === "web")?.ports[0]?.upstreams.length, 2);
  const config = await text("config");
  assert.match(JSON.stringify(JSON.parse(config)), /"service\.default\.web":.*"pod":"web-.*"pod":"web-/);
  assert.doesNotMatch(config, /PRIVATE KEY/);
});

interface Top {
  readonly resources: readonly {
    readonly resource: { readonly name: string };
    readonly incoming?: { readonly success: number; readonly failure: number };
  }[];
}

test("top: kinds, one kind, one resource, as text and as JSON", async () => {
  const received = async (): Promise<number> => {
    const { resources } = (await json("-n", "default", "top", "deployments")) as Top;
    const web = resources.find(({ resource }) => resource.name === "web");
    assert.equal(web?.incoming?.failure ?? 0, 0);
    return web?.incoming?.success ?? 0;
  };
  const end = Date.now() + 10_000;
  while ((await received()) < 50) {
    assert.ok(Date.now() < end, "no requests in 10 s");
    await sleep(100);
  }
  const row = /^web +100\.00% +\d+/m;
  assert.match(await text("-n", "default", "top"), row);
  assert.match(await text("-n", "default", "top", "deployments"), row);
  assert.match(await text("-n", "default", "top", "pods"), /^web-\S+ +100\.00% +\d+/m);
  const edge = /^ +From +load +100\.00% +\S+ms +\S+ms +\S+ms +\d+/m;
  assert.match(await text("-n", "default", "top", "deployments/web"), edge);
  assert.match(await text("top", "deployments/missing"), /No traffic of deployments missing/);
  const { status, stderr } = await mesh.meshctl("top", "horses");
  assert.equal(status, 2);
  assert.match(stderr, /horses/);
});

test("version and completion", async () => {
  assert.match(await text("version"), /\d+\.\d+\.\d+/);
  const bash = await text("completion", "bash");
  assert.match(bash, /nginx-meshctl/);
  for (const shell of ["fish", "powershell", "zsh"]) {
    assert.match(await text("completion", shell), /nginx-meshctl/);
  }
  const { stdout, status } = await runProgram("bash", [
    "-c",
    `source <("${meshctl}" completion bash) && complete -p nginx-meshctl`,
  ]);
  assert.equal(status, 0);
  assert.match(stdout, /complete/);
  assert.equal((await mesh.meshctl("completion", "tcsh")).status, 2);
});

test("controller that does not answer, and none at all: a clear error within the timeout, status 2", async () => {
  const controller = await partProcess(mesh, "controller");
  process.kill(controller.pid, "SIGSTOP");
  try {
    for (const command of ["status", "services", "config", "top"]) {
      const startedAt = Date.now();
      const { status, stderr } = await mesh.meshctl(command, "-t", "1s");
      assert.equal(status, 2, `${command}: ${stderr}`);
      assert.match(stderr, /did not answer within 1 s/);
      assert.ok(Date.now() - startedAt < 5_000);
    }
  } finally {
    process.kill(controller.pid, "SIGCONT");
  }
  const { status, stderr } = await runProgram(meshctl, ["--state", "/nowhere/at/all", "status"]);
  assert.equal(status, 2);
  assert.match(stderr, /not running/);
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
