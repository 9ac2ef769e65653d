/** The command line tool against a real mesh: what each command prints, as text and as JSON, and its exit status. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PodView } from "../../src/local/control.ts";
import { client, server } from "./manifests.ts";
import { meshctl, runProgram, startMesh, type TestMesh } from "./mesh.ts";
import { outputsOf } from "./outputs.ts";
import { partProcess } from "./processes.ts";

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
  version: string;
};

/** Another Service of the pods of `web`, on another port, whose requests a split sends to `web`. */
const alias = [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "alias" },
    spec: { selector: { app: "web" }, ports: [{ name: "http", port: 8000, targetPort: 8080 }] },
  },
  split("alias", { web: 3, caller: 1 }),
]
  .map((object) => JSON.stringify(object))
  .join("\n---\n");

function split(root: string, weights: Readonly<Record<string, number>>): object {
  const backends = Object.entries(weights).map(([service, weight]) => ({ service, weight }));
  return {
    apiVersion: "split.smi-spec.io/v1alpha3",
    kind: "TrafficSplit",
    metadata: { name: root },
    spec: { service: root, backends },
  };
}

let mesh: TestMesh;

before(async () => {
  mesh = await startMesh({
    "web.yaml": server({ name: "web", replicas: 3 }),
    "alias.yaml": alias,
    "plain.yaml": server({ name: "plain", meshed: false }),
    "caller.yaml": client("caller"),
  });
});
after(() => mesh?.stop());

const { json, text } = outputsOf(() => mesh);

interface Status {
  readonly ok: boolean;
  readonly complaints: readonly string[];
  readonly mesh: { readonly place: string };
  readonly controller: {
    readonly version: string;
    readonly configuration: { readonly version: string; readonly keys: number };
    readonly nats: { readonly connected: boolean; readonly publishedVersion: string };
  };
  readonly pods: readonly { readonly name: string; readonly ready: boolean; readonly meshed: boolean }[];
  readonly problems: readonly { readonly object: string }[];
}

interface Config {
  readonly version: string;
  readonly settings: { readonly mtlsMode: string; readonly trustDomain: string };
  readonly keys: Readonly<Record<string, { readonly name?: string; readonly ports?: readonly object[] }>>;
}

test("status: as text and as JSON", async () => {
  const lines = (await text("status")).split("\n");
  const wanted = [
    new RegExp(`^Mesh +\\S+ \\(${mesh.layout.state}\\)$`),
    new RegExp(`^Control plane +version ${version.replaceAll(".", "\\.")}, started \\d+ s ago$`),
    /^Configuration +[0-9a-f]{12}, \d+ keys, published \d+ s ago$/,
    /^NATS +connected$/,
    /^mTLS +permissive, trust domain example\.org$/,
    /^Services +4$/,
    /^Pods +5 of 5 ready, 4 in the mesh$/,
    /^Problems +none$/,
    /^$/,
  ];
  wanted.forEach((line, i) => assert.match(lines[i] ?? "(no line)", line));
  assert.equal(lines.length, wanted.length, lines.join("\n"));
  const status = (await json("status")) as Status;
  const config = (await json("config")) as Config;
  assert.deepEqual([status.ok, status.complaints, status.problems], [true, [], []]);
  assert.equal(status.mesh.place, mesh.layout.state);
  assert.equal(status.controller.version, version);
  assert.deepEqual(
    [status.controller.configuration.version, status.controller.configuration.keys],
    [config.version, Object.keys(config.keys).length],
  );
  assert.deepEqual(
    [status.controller.nats.connected, status.controller.nats.publishedVersion],
    [true, config.version],
  );
  const { pods } = await mesh.view();
  assert.deepEqual(
    status.pods.map(({ name, ready, meshed }) => ({ name, ready, meshed })).sort(byName),
    pods.map(({ name, meshed }) => ({ name, ready: true, meshed })).sort(byName),
  );
});

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

test("status: a pod that is not ready and a manifest that is wrong are told, with exit status 1", async () => {
  const readinessProbe = { tcpSocket: { port: 1 }, periodSeconds: 1 };
  mesh.write("never.yaml", server({ name: "never", readinessProbe }));
  mesh.write("wrong.yaml", JSON.stringify(split("nowhere", { web: 1 })));
  try {
    await mesh.until("the pod runs", (view) =>
      view.pods.some(
        (pod) => pod.owner === "deployment/never" && pod.containers.every(({ pid }) => pid !== undefined),
      ),
    );
    const end = Date.now() + 10_000;
    let sick = await mesh.meshctl("status");
    while (!sick.stdout.includes("never") || !sick.stdout.includes("nowhere")) {
      assert.ok(Date.now() < end, sick.stdout);
      await sleep(50);
      sick = await mesh.meshctl("status");
    }
    assert.equal(sick.status, 1);
    assert.match(sick.stdout, /^Pods +5 of 6 ready, 5 in the mesh\nProblems +\d+\n\n/m);
    assert.match(sick.stdout, /^pod default\/never-\S+ is not ready; "nginx-meshctl local logs never-/m);
    assert.match(sick.stdout, /^error: TrafficSplit default\/nowhere: spec\.service: /m);
    const { status, stdout } = await mesh.meshctl("status", "-o", "json");
    const { ok, complaints, problems } = JSON.parse(stdout) as Status;
    assert.deepEqual([status, ok, complaints.length], [1, false, 2]);
    assert.ok(problems.some(({ object }) => object === "TrafficSplit default/nowhere"));
    const waited = await mesh.meshctl("status", "--wait", "2500ms");
    assert.equal(waited.status, 1);
    assert.match(waited.stdout, /^Pods +5 of 6 ready/m);
    assert.equal(waited.stderr.match(/^waiting:\n {2}pod default\/never-/gm)?.length, 1, waited.stderr);
  } finally {
    mesh.write("never.yaml", undefined);
    mesh.write("wrong.yaml", undefined);
  }
  const well = await mesh.meshctl("status", "--wait", "30s");
  assert.equal(well.status, 0, well.stdout);
  assert.match(well.stdout, /^Pods +5 of 5 ready/m);
  await mesh.until("the pod is gone", (view) => view.pods.length === 5);
});

test("services: a line an upstream of each Service with a sidecar, as text and as JSON", async () => {
  const { pods } = await mesh.view();
  const of = (owner: string): PodView[] => pods.filter((pod) => pod.owner === `deployment/${owner}`);
  const rows = (name: string, port: string, owner: string, more: readonly string[] = []): string[][] =>
    of(owner).map((pod) => [`default/${name}`, port, "http", pod.address, "8080", pod.name, ...more]);
  const [header, ...table] = (await text("services")).trimEnd().split("\n");
  assert.equal(
    header?.replaceAll(/ {2,}/g, " | "),
    "Service | Port | Protocol | Upstream | Port | Pod | Split",
  );
  assert.deepEqual(
    table.map((line) => line.split(/ {2,}/)).sort(),
    [
      ...rows("alias", "8000", "web", ["web:3 caller:1"]),
      ...rows("caller", "80", "caller"),
      ...rows("web", "80", "web"),
    ].sort(),
  );
  const listed = (await json("services")) as {
    name: string;
    ports: { port: number; backends?: object[]; upstreams: { pod: string; port: number }[] }[];
  }[];
  assert.deepEqual(
    listed.map(({ name, ports }) => [name, ports[0]?.port, ports[0]?.backends?.length]),
    [
      ["alias", 8000, 2],
      ["caller", 80, undefined],
      ["web", 80, undefined],
    ],
  );
  assert.deepEqual(
    listed[2]?.ports[0]?.upstreams.map(({ pod, port }) => [pod, port]).sort(),
    of("web")
      .map(({ name }) => [name, 8080])
      .sort(),
  );
});

test("config: every key with its value, settings and version, without secrets", async () => {
  const printed = await text("config");
  const config = JSON.parse(printed) as Config;
  assert.match(config.version, /^[0-9a-f]{12,}$/);
  assert.deepEqual([config.settings.mtlsMode, config.settings.trustDomain], ["permissive", "example.org"]);
  const keys = Object.keys(config.keys);
  const { pods } = await mesh.view();
  for (const name of ["alias", "caller", "plain", "web"]) {
    assert.ok(keys.includes(`service.default.${name}`), `${name}: ${keys.join(" ")}`);
  }
  // one for the address of each pod and Service, and one for the settings of each workload
  assert.equal(keys.filter((key) => key.startsWith("address.")).length, pods.length + 4, keys.join(" "));
  assert.equal(keys.filter((key) => key.startsWith("workload.")).length, 3, keys.join(" "));
  const web = JSON.stringify(config.keys["service.default.web"]);
  for (const pod of pods.filter(({ owner }) => owner === "deployment/web")) {
    assert.ok(web.includes(`"pod":"${pod.name}"`) && web.includes(`"address":"${pod.address}"`), web);
  }
  assert.doesNotMatch(printed, /PRIVATE KEY/);
});

test("version: of the tool, the controller and the sidecars, as text and as JSON", async () => {
  const names = ["nginx-meshctl", "nginx-mesh-controller", "nginx-mesh-sidecar"];
  assert.equal(await text("version"), names.map((name) => `${name} - v${version}\n`).join(""));
  assert.deepEqual(await json("version"), Object.fromEntries(names.map((name) => [name, version])));
});

test("completion: a script of its own for each shell, which knows this tool's commands", async () => {
  const forms = {
    bash: /^complete .*-F \S+ nginx-meshctl$/m,
    fish: /^complete -c nginx-meshctl /m,
    powershell: /^Register-ArgumentCompleter .*nginx-meshctl/m,
    zsh: /^#compdef nginx-meshctl$/m,
  };
  for (const [shell, form] of Object.entries(forms)) {
    const script = await text("completion", shell);
    assert.match(script, form, shell);
    assert.match(script, /rotate-ca/, shell);
  }
  const { stdout, status } = await runProgram("bash", [
    "-c",
    `source <("${meshctl}" completion bash)
    COMP_WORDS=(nginx-meshctl local ""); COMP_CWORD=2; _nginx_meshctl; printf '%s ' "\${COMPREPLY[@]}"`,
  ]);
  assert.equal(status, 0);
  assert.deepEqual(stdout.trim().split(" ").sort(), ["down", "exec", "help", "logs", "rotate-ca", "up"]);
  const wrong = await mesh.meshctl("completion", "tcsh");
  assert.deepEqual([wrong.status, wrong.stdout], [2, ""]);
});

test("controller that does not answer, and none at all: a clear error within the timeout, status 2", async () => {
  const commands = [["status"], ["services"], ["config"], ["top"], ["top", "deployments/web"]];
  const controller = await partProcess(mesh, "controller");
  const times: number[] = [];
  process.kill(controller.pid, "SIGSTOP");
  try {
    for (const command of commands) {
      const startedAt = Date.now();
      const { status, stdout, stderr } = await mesh.meshctl(...command, "-t", "1s");
      const took = Date.now() - startedAt;
      assert.deepEqual([status, stdout], [2, ""], `${command.join(" ")}: ${stderr}`);
      assert.match(stderr, /^nginx-meshctl: the controller of mesh "\S+" did not answer within 1 s; /);
      times.push(took);
    }
    // without the default of 5 s; one of them at least meets a machine that has the time
    assert.ok(Math.min(...times) > 950 && Math.min(...times) < 4_500, `${times.join(", ")} ms`);
    const { status, stdout, stderr } = await mesh.meshctl("version", "-t", "300ms");
    assert.deepEqual([status, stdout], [0, `nginx-meshctl - v${version}\n`]);
    assert.match(stderr, /versions of the mesh are not known: .* did not answer within 0\.3 s/);
  } finally {
    process.kill(controller.pid, "SIGCONT");
  }
  for (const command of commands) {
    const { status, stdout, stderr } = await runProgram(meshctl, ["--state", "/nowhere/at/all", ...command]);
    assert.deepEqual([status, stdout], [2, ""], command.join(" "));
    assert.match(stderr, /^nginx-meshctl: the controller of mesh "\S+" is not running: /);
  }
});
