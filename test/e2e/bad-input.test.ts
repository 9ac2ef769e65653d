/** Bad input of `local up` and of a running mesh: a clear message and status, and all else goes on. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNoFailure, type Load, load, loadOf } from "./load.ts";
import { server } from "./manifests.ts";
import { type Ended, meshctl, runProgram, startMesh, type TestMesh } from "./mesh.ts";

let mesh: TestMesh;
let caller: Load;

before(async () => {
  mesh = await startMesh({
    "web.yaml": server({ name: "web", replicas: 2 }),
    "load.yaml": load({ rate: 100 }),
    "split.yaml": split("web", []),
  });
  caller = await loadOf(mesh);
});
after(() => mesh?.stop());

function split(root: string, backends: readonly { service: string; weight: number }[]): string {
  return JSON.stringify({
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: `split-of-${root}` },
    spec: { service: root, backends: backends.length === 0 ? [{ service: root, weight: 1 }] : backends },
  });
}

/** `local up` with a folder of these files, and `local down` after it. */
async function up(
  files: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<Ended & { took: number }> {
  const folder = mkdtempSync(join(tmpdir(), "nm-manifests-"));
  const state = mkdtempSync(join(tmpdir(), "nm-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(folder, name), text);
    }
    const startedAt = Date.now();
    const ended = await runProgram(
      meshctl,
      ["local", "up", "-f", folder, "--state", state, ...flags],
      60_000,
    );
    return { ...ended, took: Date.now() - startedAt };
  } finally {
    await runProgram(meshctl, ["local", "down", "--now", "--state", state]);
    rmSync(folder, { recursive: true, force: true });
    rmSync(state, { recursive: true, force: true });
  }
}

test("not root: status 2, and what to do", async () => {
  const args = ["--reuid", "65534", "--clear-groups", meshctl, "local", "up", "-f", mesh.folder];
  const { status, stderr } = await runProgram("setpriv", args);
  assert.equal(status, 2);
  assert.match(stderr, /only root .*sudo/);
});

test("state folder in use: status 2, which mesh has it, and that mesh goes on", async () => {
  const report = await caller.during(async () => {
    const { status, stderr } = await runProgram(meshctl, [
      "local",
      "up",
      "-f",
      mesh.folder,
      "--state",
      mesh.layout.state,
    ]);
    assert.equal(status, 2);
    assert.ok(stderr.includes(mesh.layout.state) && stderr.includes("in use"), stderr);
    assert.ok(stderr.includes(mesh.name), stderr);
  });
  assertNoFailure(report, "a second mesh in the same state folder", 20);
});

test("a state folder that holds something else: status 2, and it stays as it is", async () => {
  const state = mkdtempSync(join(tmpdir(), "nm-"));
  writeFileSync(join(state, "kept.txt"), "kept");
  const args = ["local", "up", "-f", mesh.folder, "--state", state, "--timeout", "5s"];
  const { status, stderr } = await runProgram(meshctl, args);
  await runProgram(meshctl, ["local", "down", "--now", "--state", state]);
  assert.equal(status, 2, stderr);
  assert.match(stderr, /kept\.txt, which is no mesh's; name a folder that is empty/);
  assert.deepEqual(readdirSync(state), ["kept.txt"]);
  rmSync(state, { recursive: true });
});

test("wrong usage: status 2", async () => {
  for (const args of [
    ["local", "up"],
    ["local", "up", "-f", mesh.folder, "--timeout", "soon"],
    ["local", "up", "-f", mesh.folder, "--name", "No_Name"],
    ["local", "nothing"],
    ["nothing"],
  ]) {
    const { status, stderr } = await runProgram(meshctl, args);
    assert.equal(status, 2, `${args.join(" ")}: ${stderr}`);
    assert.ok(stderr.length > 10 && !stderr.includes("    at "), stderr);
  }
});

test("no folder, a file, a folder without manifests: status 2, and the folder's name", async () => {
  for (const folder of ["/nowhere/at/all", meshctl]) {
    const { status, stderr } = await runProgram(meshctl, ["local", "up", "-f", folder, "--name", "bad"]);
    assert.equal(status, 2);
    assert.ok(stderr.includes(folder), stderr);
  }
  const { status, stderr } = await up({ "readme.txt": "no manifest" });
  assert.equal(status, 2);
  assert.match(stderr, /has no manifests/);
});

test("YAML that does not parse: file, line and column; the rest comes up", async () => {
  const { status, stdout, stderr } = await up({
    "broken.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: [web\n",
    "web.yaml": server({ name: "web" }),
  });
  assert.match(stderr, /broken\.yaml:\d+:\d+/);
  assert.match(stdout, /ready .*web-/);
  assert.equal(status, 1, stderr);
});

test("a container that does not start: status 1 in time, with its last lines", async () => {
  const command = ["sh", "-c", "echo cannot find the answer >&2; exit 7"];
  const { status, stderr, took } = await up(
    {
      "bad.yaml": server({ name: "bad", command }),
      "none.yaml": server({ name: "none", command: ["/no/such/program"] }),
      "web.yaml": server({ name: "web" }),
    },
    ["--timeout", "4s"],
  );
  assert.equal(status, 1, stderr);
  assert.ok(took < 10_000, `took ${took} ms`);
  assert.match(stderr, /bad-\w+-0[^]*status 7/);
  assert.match(stderr, /cannot find the answer/);
  assert.match(stderr, /none-\w+-0/);
  assert.match(stderr, /no\/such\/program/);
  assert.doesNotMatch(stderr, /web-\w+-0/);
});

test("pods that cannot be meshed: the sidecar's user, and one port twice", async () => {
  const { stderr, status, took } = await up(
    {
      "user.yaml": server({ name: "user" }).replace(
        '"containers"',
        '"securityContext":{"runAsUser":2102},"containers"',
      ),
      "twice.yaml": server({ name: "twice" }).replace(
        '"containers": [',
        '"containers": [{"name":"other","command":["sleep","1000"],"ports":[{"containerPort":8080}]},',
      ),
      "web.yaml": server({ name: "web" }),
    },
    ["--timeout", "8s"],
  );
  assert.match(stderr, /Deployment default\/user.*runAsUser.*2102/);
  assert.match(stderr, /Deployment default\/twice.*8080/);
  assert.ok(took < 15_000);
  assert.equal(status, 1, stderr);
});

test("what is wrong with a split is said when all pods are ready: status 0", async () => {
  const { status, stdout, stderr } = await up({
    "web.yaml": server({ name: "web" }),
    "split.yaml": split("web", [{ service: "web", weight: 0 }]),
  });
  assert.match(stderr, /error: TrafficSplit default\/split-of-web.*weight/);
  assert.match(stdout, /ready: 1 pods/);
  assert.equal(status, 0, stderr);
});

/** Problems of the running mesh, as `status` shows them. */
async function complaints(): Promise<string> {
  const { stdout } = await mesh.meshctl("status", "-o", "json");
  return (JSON.parse(stdout) as { complaints: string[] }).complaints.join("\n");
}

async function untilComplaint(pattern: RegExp): Promise<void> {
  const end = Date.now() + 10_000;
  while (!pattern.test(await complaints())) {
    assert.ok(Date.now() < end, `${pattern} is not in:\n${await complaints()}`);
    await sleep(50);
  }
}

const good = server({ name: "web", replicas: 2 });
const broken: readonly { what: string; text: string; complaint: RegExp }[] = [
  { what: "YAML that does not parse", text: "kind: [", complaint: /web\.yaml:\d+:\d+/ },
  {
    what: "a wrong type",
    text: good.replace('"replicas": 2', '"replicas": "two"'),
    complaint: /Deployment default\/web.*spec\.replicas/,
  },
  {
    what: "an unknown field",
    text: good.replace('"replicas": 2', '"replicsa": 2'),
    complaint: /Deployment default\/web.*replicsa/,
  },
];

for (const { what, text, complaint } of broken) {
  test(`${what} in a file of a running mesh: it is told, and all goes on; then it is repaired`, async () => {
    const pods = (await mesh.view()).pods.map((pod) => pod.name).sort();
    const report = await caller.during(async () => {
      mesh.write("web.yaml", text);
      await untilComplaint(complaint);
      assert.equal((await mesh.meshctl("status")).status, 1);
      await sleep(500);
      mesh.write("web.yaml", good);
      await untilComplaint(/^$/);
    });
    assertNoFailure(report, what);
    assert.deepEqual((await mesh.view()).pods.map((pod) => pod.name).sort(), pods);
    assert.equal((await mesh.meshctl("status")).status, 0);
  });
}

test("splits: a backend that does not exist, all weights zero; both are told and traffic goes on", async () => {
  const report = await caller.during(async () => {
    mesh.write(
      "split.yaml",
      split("web", [
        { service: "missing", weight: 1 },
        { service: "web", weight: 1 },
      ]),
    );
    await untilComplaint(/TrafficSplit default\/split-of-web.*missing/);
    mesh.write("split.yaml", split("web", [{ service: "web", weight: 0 }]));
    await untilComplaint(/TrafficSplit default\/split-of-web.*weight/);
    mesh.write("split.yaml", split("web", []));
    await untilComplaint(/^$/);
  });
  // half of a split to a Service that does not exist may fail, and with weights of zero nothing has a backend
  assert.ok(report.requests > 50);
});

test("two Services with one address, a Service without pods: told, and the first keeps its address", async () => {
  const fixed = (name: string, app: string): string =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: {
        clusterIP: "10.200.0.1",
        selector: { app },
        ports: [{ name: "http", port: 80, targetPort: 8080 }],
      },
    });
  const report = await caller.during(async () => {
    mesh.write("one.yaml", fixed("one", "web"));
    mesh.write("two.yaml", fixed("two", "nobody"));
    await untilComplaint(
      /Service default\/two.*10\.200\.0\.1 is already the address of Service default\/one/,
    );
    for (let times = 0; times < 5; times += 1) {
      const ask = ["curl", "-sS", "--max-time", "5", "http://10.200.0.1/"];
      const { stdout, stderr } = await mesh.exec("load", ...ask);
      assert.match(stdout, /"pod":"web-/, stderr);
    }
    mesh.write("two.yaml", undefined);
    mesh.write("one.yaml", undefined);
    await untilComplaint(/^$/);
    const none = JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "none" },
      spec: { selector: { app: "none" }, ports: [{ name: "http", port: 80 }] },
    });
    mesh.write("none.yaml", none);
    const end = Date.now() + 5_000;
    let answer = "";
    while (!answer.startsWith("503")) {
      assert.ok(Date.now() < end, `a Service without pods answers ${answer}`);
      answer = (
        await mesh.exec("load", "curl", "-s", "-w", "%{http_code}", "-o", "/dev/null", "http://none/")
      ).stdout;
    }
    mesh.write("none.yaml", undefined);
  });
  assertNoFailure(report, "bad Services");
});
