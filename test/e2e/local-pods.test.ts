/** What pods of local mode do: kinds, probes, restarts, environments, and changes while they run. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { client, server, type ServerOptions } from "./manifests.ts";
import { apps, startMesh, type TestMesh } from "./mesh.ts";

let mesh: TestMesh;

function pod(name: string, spec: object, more: object = {}): string {
  const labels = { "injector.nsm.nginx.com/auto-inject": "disabled" };
  return JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name, labels, ...more }, spec });
}

const sleeping = { name: "main", command: ["sleep", "1000000"] };
const quick: Partial<ServerOptions> = { meshed: false, terminationGracePeriodSeconds: 1 };

const job = JSON.stringify({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name: "job" },
  spec: {
    template: {
      metadata: { labels: { "injector.nsm.nginx.com/auto-inject": "disabled" } },
      spec: { restartPolicy: "Never", containers: [{ name: "job", command: ["sh", "-c", "echo done"] }] },
    },
  },
});

const config = JSON.stringify({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "config" },
  data: { greeting: "hello" },
});

before(async () => {
  mesh = await startMesh({
    "config.yaml": config,
    "job.yaml": job,
    "web.yaml": server({ name: "web", ...quick }),
    "set.yaml": server({ name: "set", kind: "StatefulSet", replicas: 2, ...quick }),
    "client.yaml": client("client", false),
    "meshed.yaml": client("meshed"),
    "env.yaml": pod("env", {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "main",
          command: ["sh", "-c", "echo $(GREETING) from $(ME); exec sleep 1000000"],
          env: [
            { name: "GREETING", valueFrom: { configMapKeyRef: { name: "config", key: "greeting" } } },
            { name: "ME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          ],
          securityContext: { runAsUser: 1234 },
        },
      ],
    }),
    "low.yaml": pod("low", {
      containers: [
        {
          name: "main",
          command: ["node", "echo.ts"],
          workingDir: apps,
          env: [{ name: "PORT", value: "80" }],
          securityContext: { runAsUser: 0 },
          readinessProbe: { httpGet: { port: 80, path: "/status/204" } },
        },
      ],
    }),
    "rooted.yaml": pod(
      "rooted",
      { containers: [{ name: "main", command: ["sh", "-c", "echo x >/written; exec sleep 1000000"] }] },
      { annotations: { "local.nginx-mesh/root": "/var/cache/nginx-mesh/sidecar-root" } },
    ),
    "init.yaml": pod("init", {
      terminationGracePeriodSeconds: 0,
      initContainers: [
        { name: "first", command: ["sh", "-c", "echo first; sleep 0.2"] },
        { name: "second", command: ["sh", "-c", "echo second"] },
      ],
      containers: [sleeping],
    }),
  });
});

after(() => mesh?.stop());

test("environment, user, and what a container writes", async () => {
  const env = await mesh.pod("env");
  assert.match(mesh.log(env, "main"), /^hello from env$/m);
  assert.match((await mesh.exec("env", "id", "-u")).stdout, /^1234$/m);
  assert.match((await mesh.exec("env", "sh", "-c", "echo $ME")).stdout, /^env$/m);
  assert.equal((await mesh.exec("env", "sh", "-c", "exit 7")).status, 7);
  const logs = await mesh.meshctl("local", "logs", "env");
  assert.equal(logs.stdout, "hello from env\n");
});

test("a port below 1024 needs no privileges; a root folder is private and complete", async () => {
  const low = await mesh.pod("low");
  const answer = await mesh.exec("client", "curl", "-sS", `http://${low.address}/`);
  assert.match(answer.stdout, /"pod":"low"/);
  const rooted = await mesh.exec("rooted", "cat", "/etc/debian_version", "/written", "/etc/resolv.conf");
  assert.match(rooted.stdout, /^1[34][^]*^x$[^]*nameserver 10\./m);
  assert.notEqual((await mesh.exec("client", "ls", "/var/cache/nginx-mesh/sidecar-root/written")).status, 0);
});

test("init containers run first, one after the other; a Job ends well and stays", async () => {
  const init = await mesh.pod("init");
  assert.match(mesh.log(init, "first"), /first/);
  assert.match(mesh.log(init, "second"), /second/);
  const done = await mesh.pod("job");
  assert.deepEqual([done.ready, done.reason], [true, "completed"]);
  assert.equal(mesh.log(done, "job"), "done\n");
});

test("a process that crashes is started again, and the pod is not ready meanwhile", async () => {
  const { address } = await mesh.pod("web");
  const killed = await mesh.exec("web", "sh", "-c", "kill -9 $(pgrep -f '[e]cho.ts')");
  // the namespace of processes ends with the container's, and with it the shell if it has not ended before
  assert.ok([0, 137].includes(killed.status), `status ${killed.status}: ${killed.stderr}`);
  const view = await mesh.until("a restart", ({ pods }) =>
    pods.some(
      (each) => each.owner === "deployment/web" && (each.containers[0]?.restarts ?? 0) >= 1 && each.ready,
    ),
  );
  assert.equal(view.pods.find((each) => each.owner === "deployment/web")?.address, address);
});

test("a pod that cannot be started is told, and tried again until it can", async () => {
  const numbers = (await mesh.view()).pods.map((each) => each.number);
  const inTheWay = join(mesh.layout.pods, String(Math.max(...numbers) + 1));
  writeFileSync(inTheWay, "");
  mesh.write("blocked.yaml", pod("blocked", { terminationGracePeriodSeconds: 0, containers: [sleeping] }));
  await mesh.until("it is told", ({ pods }) =>
    pods.some((each) => each.name === "blocked" && each.reason.includes("EEXIST")),
  );
  rmSync(inTheWay);
  await mesh.until("it runs", ({ pods }) => pods.some((each) => each.name === "blocked" && each.ready));
  mesh.write("blocked.yaml", undefined);
  await mesh.until("it is gone", ({ pods }) => !pods.some((each) => each.name === "blocked"));
});

test("a pod waits for a ConfigMap that its environment names", async () => {
  const env = [{ name: "A", valueFrom: { configMapKeyRef: { name: "later", key: "a" } } }];
  const spec = { terminationGracePeriodSeconds: 0, containers: [{ ...sleeping, env }] };
  mesh.write("waiting.yaml", pod("waiting", spec));
  await mesh.until("it is told", ({ pods }) =>
    pods.some(({ name, reason }) => name === "waiting" && reason.includes("default/later does not exist")),
  );
  mesh.write("later.yaml", config.replace('"config"', '"later"').replace("greeting", "a"));
  await mesh.until("it runs", ({ pods }) => pods.some(({ name, ready }) => name === "waiting" && ready));
  assert.match((await mesh.exec("waiting", "sh", "-c", "echo $A")).stdout, /^hello$/m);
  mesh.write("waiting.yaml", undefined);
});

test("a pod with a name that is too long for a host", async () => {
  const name = `${"long-".repeat(20)}name`;
  mesh.write("long.yaml", pod(name, { terminationGracePeriodSeconds: 0, containers: [sleeping] }));
  await mesh.until("it runs", ({ pods }) => pods.some((each) => each.name === name && each.ready));
  let host = await mesh.exec(name, "hostname");
  for (let tries = 0; tries < 20 && host.status !== 0; tries += 1) {
    await sleep(50);
    host = await mesh.exec(name, "hostname");
  }
  assert.equal(host.stdout, `${"long-".repeat(12)}lon\n`, host.stderr);
  mesh.write("long.yaml", undefined);
});

test("a container that is not alive is started again", async () => {
  const probe = {
    exec: { command: ["test", "!", "-e", "/tmp/nm-dead"] },
    periodSeconds: 1,
    failureThreshold: 1,
  };
  const annotations = { "local.nginx-mesh/root": "/var/cache/nginx-mesh/sidecar-root" };
  const spec = { terminationGracePeriodSeconds: 0, containers: [{ ...sleeping, livenessProbe: probe }] };
  mesh.write("alive.yaml", pod("alive", spec, { annotations }));
  await mesh.until("it runs", ({ pods }) => pods.some((each) => each.name === "alive" && each.ready));
  await mesh.exec("alive", "touch", "/tmp/nm-dead");
  await mesh.until("it was restarted", ({ pods }) =>
    pods.some((each) => each.name === "alive" && each.ready && (each.containers[0]?.restarts ?? 0) >= 1),
  );
  mesh.write("alive.yaml", undefined);
  await mesh.until("it is gone", ({ pods }) => !pods.some((each) => each.name === "alive"));
});

test("more replicas, fewer, and none", async () => {
  const count = (owner: string, wanted: number) => (view: Awaited<ReturnType<TestMesh["view"]>>) => {
    const pods = view.pods.filter((each) => each.owner === owner);
    return pods.length === wanted && pods.every((each) => each.ready);
  };
  for (const replicas of [3, 1, 0, 1]) {
    mesh.write("web.yaml", server({ name: "web", replicas, ...quick }));
    await mesh.until(`${replicas} replicas`, count("deployment/web", replicas));
  }
  mesh.write("set.yaml", server({ name: "set", kind: "StatefulSet", replicas: 3, ...quick }));
  const view = await mesh.until("3 ordinals", count("statefulset/set", 3));
  const names = view.pods.filter((each) => each.owner === "statefulset/set").map((each) => each.name);
  assert.deepEqual(names.sort(), ["set-0", "set-1", "set-2"]);
});

test("a new template: new pods are ready before old ones go, and names of a StatefulSet are used again", async () => {
  const before = await mesh.pod("web");
  let both = false;
  mesh.write("web.yaml", server({ name: "web", ...quick, env: { VERSION: "2" } }));
  mesh.write(
    "set.yaml",
    server({ name: "set", kind: "StatefulSet", replicas: 2, ...quick, env: { VERSION: "2" } }),
  );
  const view = await mesh.until("all are new", ({ pods }) => {
    const web = pods.filter((each) => each.owner === "deployment/web");
    both ||= web.some((each) => each.name === before.name && !each.terminating) && web.length === 2;
    assert.ok(
      web.some((each) => each.ready),
      "always one that is ready",
    );
    const all = [...web, ...pods.filter((each) => each.owner === "statefulset/set")];
    return all.length === 3 && all.every((each) => each.ready && each.environment["VERSION"] === "2");
  });
  assert.ok(both);
  assert.ok(!view.pods.some((each) => each.name === before.name));
});

test("a workload that is edited into something that cannot run, or does not parse, goes on as it was", async () => {
  const good = server({ name: "web", ...quick, env: { VERSION: "2" } });
  const { name } = await mesh.pod("web");
  mesh.write(
    "web.yaml",
    good
      .replace('"node"', "")
      .replace('"echo.ts"', "")
      .replace(/,\s*\]/, "]"),
  );
  await mesh.until("it is told", ({ problems }) => problems.length > 0);
  assert.equal((await mesh.pod("web")).name, name);
  mesh.write("web.yaml", "{ this is no YAML");
  const { problems } = await mesh.until("it is told", (view) =>
    view.problems.some((problem) => problem.includes("web.yaml:1:")),
  );
  assert.match(problems.join("\n"), /web\.yaml:1:\d+/);
  assert.equal((await mesh.pod("web")).name, name);
  mesh.write("web.yaml", good);
  await mesh.until("it is well again", (view) => view.problems.length === 0 && view.ready);
  assert.equal((await mesh.pod("web")).name, name);
});

test("a sidecar has its own user, a root that it cannot write, no capabilities, and its identity for itself", async () => {
  const inside = async (script: string): Promise<string> => {
    const ended = await mesh.meshctl("local", "exec", "meshed", "-c", "sidecar", "--", "sh", "-c", script);
    return ended.stdout + ended.stderr;
  };
  assert.match(await inside("id -u; id -G"), /^2102\n2102\n$/);
  assert.match(await inside("grep CapBnd /proc/self/status"), /CapBnd:\s+0+\n/);
  assert.match(await inside("touch /usr/share/nginx-mesh/x"), /Read-only file system/);
  assert.match(
    await inside("for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done"),
    /^nginx: master[^]*nginx: worker/,
  );
  assert.match(await inside("ls -l /run/spire/sockets/agent.sock"), /^srw------- 1 2102 2102/);
  const application = await mesh.exec("meshed", "sh", "-c", "ls /run/spire; ls /var/lib/nginx-mesh/local");
  assert.notEqual(application.status, 0);
  assert.equal(application.stdout, "");
});

test("a sidecar that ended and is back counts as ready at once", async () => {
  const sidecarOf = ({ pods }: Awaited<ReturnType<TestMesh["view"]>>) =>
    pods.find((each) => each.owner === "deployment/meshed")?.containers[0];
  await mesh.meshctl("local", "exec", "meshed", "-c", "sidecar", "--", "sh", "-c", "kill 1");
  await mesh.until("it has ended", (view) => sidecarOf(view)?.restarts === 1);
  await mesh.until("it is ready", (view) => sidecarOf(view)?.ready === true, 2_000);
});

test("what the controller could not be told is told as soon as it can be", async () => {
  const status = (): string => readFileSync(mesh.layout.status, "utf8");
  const inTheWay = `${mesh.layout.status}.new`;
  mkdirSync(inTheWay);
  mesh.write("untold.yaml", pod("untold", { terminationGracePeriodSeconds: 0, containers: [sleeping] }));
  await mesh.until("it runs", ({ pods }) => pods.some((each) => each.name === "untold" && each.ready));
  await sleep(100);
  assert.ok(!status().includes("untold"));
  rmdirSync(inTheWay);
  for (let tries = 0; tries < 150 && !status().includes("untold"); tries += 1) {
    await sleep(20);
  }
  assert.ok(status().includes("untold"));
  mesh.write("untold.yaml", undefined);
});

test("exec and logs say what they cannot do", async () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [["local", "exec", "nobody", "--", "true"], /no pod or workload "nobody"/],
    [["local", "exec", "client", "-c", "x", "--", "true"], /has no container "x"; it has client/],
    [["local", "exec", "job", "--", "true"], /container job of pod default\/job-\S+ does not run/],
    [["local", "logs", "client", "-c", "x"], /no log .*has another name/],
  ];
  for (const [args, expected] of cases) {
    const ended = await mesh.meshctl(...args);
    assert.equal(ended.status, 2, args.join(" "));
    assert.match(ended.stderr, expected);
  }
  const missing = await mesh.exec("client", "no-such-program");
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /cannot start "no-such-program": No such file/);
});
