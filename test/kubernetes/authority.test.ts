/** Where the mesh's root comes from: an authority above SPIRE's, and a server that has lost everything. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { app } from "./app.ts";
import { selfSigned } from "./certificates.ts";
import { attempt, inNamespace, kubectl, run, until } from "./fixture.ts";
import {
  callerOf,
  chart,
  chartValues,
  get,
  identity,
  injected,
  meshNamespace,
  release,
  replacePods,
  uninstallMesh,
} from "./mesh.ts";
import { startVault } from "./vault.ts";

const folder = mkdtempSync(join(tmpdir(), "authority-"));
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await uninstallMesh();
});

async function install(...more: readonly string[]): Promise<void> {
  await uninstallMesh();
  const where = ["--namespace", meshNamespace, "--create-namespace", "--wait", "--timeout", "300s"];
  await run("helm", ["install", release, chart, ...where, ...chartValues(), ...more], { timeout: 400 });
}

const bundle = (): Promise<string> =>
  kubectl("-n", meshNamespace, "get", "configmap", "spire-bundle", "-o", "jsonpath={.data.bundle\\.crt}");

/** Two pods know each other by what the authority gave them. */
async function pairWorks(): Promise<void> {
  await inNamespace(injected, async (namespace) => {
    await namespace.apply(...app({ name: "server" }), ...app({ name: "client" }));
    await namespace.ready("deployment/server", "deployment/client");
    const answer = await get(namespace, "app=client", "http://server/");
    assert.equal(answer.status, 200);
    assert.equal(callerOf(answer), identity(namespace.name, "client"));
  });
}

test("an authority from files (upstreamAuthority.disk) is the root that pods trust", async () => {
  const { certificate, key } = await selfSigned(
    folder,
    "ca",
    "/O=Test root",
    "keyUsage=critical,keyCertSign,cRLSign",
  );
  const path = "mtls.upstreamAuthority.disk";
  // a volume may have an authority of before, which would go on
  await install(
    "--set-string",
    "mtls.persistentStorage=off",
    "--set-file",
    `${path}.cert=${certificate}`,
    "--set-file",
    `${path}.key=${key}`,
  );
  assert.equal((await bundle()).trim(), readFileSync(certificate, "utf8").trim());
  await pairWorks();
});

test("Vault (upstreamAuthority.vault, AppRole over TLS) signs the mesh's authority, and its root is the one that pods trust", async () => {
  await inNamespace({}, async (namespace) => {
    const vault = await startVault(namespace, folder);
    const path = "mtls.upstreamAuthority.vault";
    await install(
      "--set-string",
      "mtls.persistentStorage=off",
      "--set",
      `${path}.vaultAddr=${vault.address}`,
      "--set-file",
      `${path}.caCert=${vault.certificateAuthority}`,
      "--set-string",
      `${path}.approleAuth.approleID=${vault.roleId}`,
      "--set-string",
      `${path}.approleAuth.approleSecretID=${vault.secretId}`,
    );
    assert.equal((await bundle()).trim(), vault.root);
    await pairWorks();
  });
});

test("with nothing kept, a new server is trusted again, and pods get identities of its new authority", async () => {
  await install("--set-string", "mtls.persistentStorage=off", "--set", "mtls.spireServerKeyManager=memory");
  const before = await bundle();
  await pairWorks();
  await replacePods("spire-server");
  await until("a new bundle", 60, async () => ((await bundle()) !== before ? true : undefined));
  // the agents begin anew a minute after they have seen that the server is another
  await until("agents that the new server knows", 240, async () => {
    const args = ["-n", meshNamespace, "exec", "spire-server-0", "-c", "spire-server", "--"];
    const ended = await attempt("kubectl", [...args, "/opt/spire/bin/spire-server", "agent", "count"]);
    return /^[1-9]\d* attested agent/m.test(ended.stdout) ? true : undefined;
  });
  await pairWorks();
});
