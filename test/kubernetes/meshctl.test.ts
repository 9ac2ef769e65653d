/** A user's way with nginx-meshctl alone: deploy, look, gather, upgrade, remove, in this order. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { app } from "./app.ts";
import {
  attempt,
  getObject,
  inNamespace,
  kubectl,
  type Namespace,
  namespaceNamed,
  until,
} from "./fixture.ts";
import { get, injected, meshNamespace, uninstallMesh } from "./mesh.ts";
import { type Ended, runMeshctl } from "./meshctl.ts";

const folder = mkdtempSync(join(tmpdir(), "meshctl-"));
const images = ["--registry-server", "testbed.local", "--disable-public-images"];

before(() => uninstallMesh());
after(async () => {
  rmSync(folder, { recursive: true });
  await uninstallMesh();
});

/** Ends with the status that is expected, else with what it said. */
async function meshctl(status: number, ...args: readonly string[]): Promise<Ended> {
  const ended = await runMeshctl(args, {}, 330);
  assert.equal(ended.status, status, `nginx-meshctl ${args.join(" ")}: ${ended.stdout}${ended.stderr}`);
  return ended;
}

/** A client and a server of the mesh. */
async function twoApps(namespace: Namespace, more: object = {}): Promise<void> {
  await namespace.apply(...app({ name: "server", replicas: 2 }), ...app({ name: "client", ...more }));
  await namespace.ready("deployment/server", "deployment/client");
}

test("deploy ends when the control plane runs", async () => {
  const { stdout } = await meshctl(0, "deploy", ...images, "--mtls-mode", "strict");
  assert.match(stdout, /storage +on: storage class /);
  assert.match(stdout, /ready +4\/4 /);
  assert.match(stdout, /kubectl label namespace NAME/);
  const { stdout: status } = await meshctl(0, "status");
  assert.match(status, /NATS +connected\n/);
  assert.match(status, /mTLS +strict, trust domain example\.org/);
  assert.match(status, /spire-agent +\d of \d ready/);
});

test("deploy again changes what is given, and keeps the rest", async () => {
  await meshctl(0, "deploy", "--nginx-lb-method", "round_robin");
  const config = await getObject("meshconfig", "nginx-mesh-config", "--namespace", meshNamespace);
  assert.deepEqual([config["spec"].mtls.mode, config["spec"].nginxLBMethod], ["strict", "round_robin"]);
});

test("services, versions, configuration and traffic of applications", async () => {
  await inNamespace(injected, async (namespace) => {
    await twoApps(namespace);
    const services = await meshctl(0, "services");
    const upstreams = services.stdout.match(new RegExp(`^${namespace.name}/server +80 +http `, "gm"));
    assert.equal(upstreams?.length, 2, services.stdout);
    const { stdout: versions } = await meshctl(0, "version");
    assert.match(versions, /nginx-mesh-controller - v\S+\nnginx-mesh-sidecar - v\S+\n$/);
    const config = JSON.parse((await meshctl(0, "config")).stdout) as { keys: Record<string, unknown> };
    assert.ok(Object.keys(config.keys).some((key) => key.includes(namespace.name)));
    await until("traffic in top", 30, async () => {
      await get(namespace, "app=client", "http://server/");
      const { stdout } = await meshctl(0, "top", "-n", namespace.name);
      return /^server +100\.00%/m.test(stdout) && /^client +100\.00%/m.test(stdout) ? true : undefined;
    });
    const { stdout: edges } = await meshctl(0, "top", "deploy/client", "-n", namespace.name);
    assert.match(edges, /To +server +100\.00%/);
  });
});

const planted = "PLANTED-a7f2c9";
const key = `-----BEGIN PRIVATE KEY-----\n${planted}\n-----END PRIVATE KEY-----\n`;

/** Where users have secrets, and where they should not. */
async function plant(namespace: Namespace): Promise<void> {
  const container = {
    env: [
      { name: "DB_PASSWORD", value: planted },
      { name: "ANY", value: planted },
    ],
  };
  await twoApps(namespace, { annotations: { "example.org/license": planted }, container });
  await namespaceNamed(meshNamespace).apply(
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "planted" },
      stringData: { any: planted },
    },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "planted" },
      data: { "a.conf": `user = me\npassword = "${planted}"\n`, "b.pem": key },
    },
  );
  const headers = `Authorization: Bearer ${planted}`;
  await namespace.exec(
    "app=client",
    "app",
    "/bin/busybox",
    "wget",
    "-qO-",
    "--header",
    headers,
    `http://server/?token=${planted}`,
  );
}

test("a support package has states and logs, and no secret", async () => {
  await inNamespace(injected, async (namespace) => {
    await plant(namespace);
    const { stdout } = await meshctl(0, "supportpkg", "-o", folder);
    assert.match(stdout, /without secrets/);
    const [archive] = readdirSync(folder);
    assert.ok(archive);
    const options = { encoding: "utf8", maxBuffer: 512 * 1024 * 1024 } as const;
    const names = execFileSync("tar", ["tzf", join(folder, archive)], options);
    for (const part of [
      "controller/status.json",
      "objects/injected-pods.json",
      "objects/nginx-mesh/events.json",
      `logs/${namespace.name}/`,
      "logs/nginx-mesh/spire-server-0.spire-server.log",
    ]) {
      assert.ok(names.includes(part), `${part} is not in ${names}`);
    }
    const content = execFileSync("tar", ["xzOf", join(folder, archive)], options);
    assert.ok(content.includes(namespace.name));
    const at = content.indexOf(planted);
    assert.equal(at, -1, content.slice(Math.max(0, at - 300), at + 100));
    rmSync(join(folder, archive));
    await meshctl(0, "supportpkg", "-o", folder, "--disable-sidecar-logs");
    const [second] = readdirSync(folder);
    const fewer = execFileSync("tar", ["tzf", join(folder, second ?? "")], options);
    assert.ok(!fewer.includes(`logs/${namespace.name}/`));
    await kubectl("delete", "--namespace", meshNamespace, "secret/planted", "configmap/planted");
  });
});

test("upgrade keeps the settings", async () => {
  const { stdout } = await meshctl(0, "upgrade", "-y");
  assert.match(stdout, /CustomResourceDefinitions are up to date/);
  const config = await getObject("meshconfig", "nginx-mesh-config", "--namespace", meshNamespace);
  assert.deepEqual([config["spec"].mtls.mode, config["spec"].nginxLBMethod], ["strict", "round_robin"]);
});

test("remove leaves applications as they are, and says what is left to do", async () => {
  await inNamespace(injected, async (namespace) => {
    await twoApps(namespace);
    // what a sidecar knows it keeps; what it has never used it cannot learn any more
    assert.equal((await get(namespace, "app=client", "http://server/")).status, 200);
    const { stdout } = await meshctl(0, "remove", "-y");
    assert.ok(stdout.includes(`kubectl -n ${namespace.name} rollout restart deployment server`), stdout);
    assert.ok(stdout.includes(`kubectl label namespace ${namespace.name}`), stdout);
    const answer = await get(namespace, "app=client", "http://server/");
    assert.equal(answer.status, 200);
    await until("the mesh's namespace is gone", 60, async () => {
      const ended = await attempt("kubectl", ["get", "namespace", meshNamespace]);
      return ended.status === 0 ? undefined : true;
    });
    const webhooks = await kubectl("get", "mutatingwebhookconfigurations", "--output=name");
    assert.ok(!webhooks.includes("nginx-mesh-injection"), webhooks);
  });
});
