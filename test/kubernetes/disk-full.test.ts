/** The disk of the SPIRE server is full: who has an identity keeps it, who needs one waits, and the server says why. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { app } from "./app.ts";
import { attempt, inNamespace, isReady, kubectl, run, until } from "./fixture.ts";
import { assertNoneFailed, startLoad } from "./load.ts";
import {
  callerOf,
  chart,
  chartValues,
  get,
  identity,
  injected,
  isInjected,
  meshNamespace,
  release,
  uninstallMesh,
} from "./mesh.ts";

before(async () => {
  await uninstallMesh();
  const where = ["--namespace", meshNamespace, "--create-namespace", "--wait", "--timeout", "120s"];
  const small = ["--post-renderer", join(import.meta.dirname, "small-volume.ts")];
  const values = chartValues({ "mtls.persistentStorage": "off" });
  await run("helm", ["install", release, chart, ...where, ...small, ...values], { timeout: 150 });
});
after(() => uninstallMesh());

const server = ["--namespace", meshNamespace, "exec", "spire-server-0", "--container=filler", "--"] as const;

async function logOf(container: string): Promise<string> {
  return kubectl(
    "--namespace",
    meshNamespace,
    "logs",
    "spire-server-0",
    `--container=${container}`,
    "--since=60s",
  );
}

test("a full volume of the SPIRE server", async () => {
  await inNamespace(injected, async (namespace) => {
    await namespace.apply(...app({ name: "server", replicas: 2 }));
    await namespace.ready("deployment/server");
    const load = await startLoad(namespace, { name: "load", url: "http://server/", fresh: true });
    const filled = await attempt("kubectl", [...server, "sh", "-c", "cat /dev/zero >/data/filled"]);
    assert.match(filled.stderr, /No space left/);
    await namespace.apply(...app({ name: "client" }));
    await until("the server says that there is no space", 40, async () =>
      /full|no space/i.test(await logOf("spire-server")) ? true : undefined,
    );
    // time enough for a pod that waits for nothing; those that have their identity go on
    await sleep(10_000);
    const pods = await namespace.pods("app=client");
    assert.ok(
      pods.length === 1 && pods.every(isInjected) && !pods.some(isReady),
      "it waits for its identity",
    );
    assertNoneFailed(await load.stop(), 200);
    await kubectl(...server, "sh", "-c", ": >/data/filled");
    await namespace.ready("deployment/client");
    const answer = await get(namespace, "app=client", "http://server/");
    assert.equal(answer.status, 200, answer.body);
    assert.equal(callerOf(answer), identity(namespace.name, "client"));
  });
});
