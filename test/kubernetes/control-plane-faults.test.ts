/** Faults below and beside the control plane: running pods go on, the error is to be seen, and what was missed comes by itself. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { X509Certificate } from "node:crypto";
import { createCertificate } from "../../src/admission/webhook-certificate.ts";
import { app } from "./app.ts";
import { notTheBed, signalPart } from "./bed.ts";
import { getObject, inNamespace, isReady, kubectl, type Namespace, until } from "./fixture.ts";
import { assertNoneFailed, startLoad } from "./load.ts";
import { ensureMesh, injected, isInjected, meshNamespace, meshPods, replacePods } from "./mesh.ts";

const onBed = { skip: await notTheBed() };

before(() => ensureMesh());

const secretName = "nginx-mesh-webhook-certificate";
const inMesh = ["--namespace", meshNamespace] as const;
const day = 24 * 3600 * 1000;

/** As the API server gives it: PEM. */
async function storedCertificate(): Promise<X509Certificate> {
  const { data } = (await getObject(...inMesh, "secret", secretName)) as unknown as {
    data: Record<string, string>;
  };
  return new X509Certificate(Buffer.from(data["tls.crt"] ?? "", "base64"));
}

/** Writes one that expired ten days ago over the controller's, and what the API server verifies with. */
async function expire(): Promise<void> {
  const names = ["nginx-mesh-webhook", "nginx-mesh-metrics"].map((name) => `${name}.${meshNamespace}.svc`);
  const old = await createCertificate(names, Date.now() - 100 * day);
  const encode = (text: string | Uint8Array): string => Buffer.from(text).toString("base64");
  const data = {
    "tls.crt": encode(old.certificate),
    "tls.key": encode(old.key.reveal()),
    "ca.crt": encode(old.authorities),
  };
  await kubectl(
    ...inMesh,
    "patch",
    "secret",
    secretName,
    "--type=merge",
    "--patch",
    JSON.stringify({ data }),
  );
  const configuration = await getObject("mutatingwebhookconfiguration", `${meshNamespace}-injection`);
  const patch = (configuration["webhooks"] as readonly object[]).map((_, index) => ({
    op: "replace",
    path: `/webhooks/${index}/clientConfig/caBundle`,
    value: encode(old.authorities),
  }));
  const args = ["mutatingwebhookconfiguration", configuration.metadata.name, "--type=json"];
  await kubectl("patch", ...args, "--patch", JSON.stringify(patch));
}

/** A pod is made, with its sidecar, and gets ready. */
async function joins(namespace: Namespace, name: string): Promise<void> {
  await namespace.apply(...app({ name }));
  await namespace.ready(`deployment/${name}`);
  assert.deepEqual((await namespace.pods(`app=${name}`)).map(isInjected), [true]);
}

for (const [name, restart] of [
  ["while the controller runs", false],
  ["and the controller starts with it", true],
] as const) {
  test(`an expired webhook certificate ${name} is replaced, and pods are injected again`, async () => {
    await expire();
    assert.ok((await storedCertificate()).validToDate.getTime() < Date.now());
    if (restart) {
      await replacePods("nginx-mesh-controller");
    }
    // the controller looks every 30 s
    await until("a certificate that is valid", 45, async () =>
      (await storedCertificate()).validToDate.getTime() > Date.now() + day ? true : undefined,
    );
    await inNamespace(injected, async (namespace) => {
      await until("the API server trusts the webhook", 30, async () => {
        await namespace.kubectl("run", "probe", "--image=none", "--dry-run=server");
        return true;
      });
      await joins(namespace, "fresh");
    });
  });
}

/** Stops etcd for `seconds` of each five, several times. */
async function slowEtcd(times: number, seconds: number): Promise<void> {
  for (let turn = 0; turn < times; turn++) {
    await signalPart("etcd", "STOP");
    try {
      await sleep(seconds * 1000);
    } finally {
      await signalPart("etcd", "CONT");
    }
    await sleep((5 - seconds) * 1000);
  }
}

async function restartsOf(part: string): Promise<number> {
  const pods = await meshPods(part);
  return pods
    .flatMap((pod) => (pod["status"].containerStatuses ?? []) as readonly { restartCount: number }[])
    .reduce((sum, { restartCount }) => sum + restartCount, 0);
}

test(
  "etcd is slow: load goes on, a change is in force afterwards, and the controller says what it waits for",
  onBed,
  async () => {
    await inNamespace(injected, async (namespace) => {
      await namespace.apply(...app({ name: "server", replicas: 2 }));
      await namespace.ready("deployment/server");
      const load = await startLoad(namespace, { name: "load", url: "http://server/" });
      const since = new Date().toISOString();
      const before = await restartsOf("nginx-mesh-controller");
      await sleep(1000);
      // asked for at once; whether it is written before the pulses end is etcd's affair
      const scaled = namespace.kubectl("scale", "deployment/server", "--replicas=4");
      await slowEtcd(5, 4);
      await scaled;
      await namespace.ready("deployment/server");
      // one is away for longer than a Lease lasts
      await signalPart("etcd", "STOP");
      try {
        await sleep(12_000);
      } finally {
        await signalPart("etcd", "CONT");
      }
      const log = await until("the controller says what it waits for", 20, async () => {
        const pods = await meshPods("nginx-mesh-controller");
        const logs = await Promise.all(
          pods.map((pod) => kubectl(...inMesh, "logs", pod.metadata.name, `--since-time=${since}`)),
        );
        return logs.find((each) => /cannot (use|read|reach|watch)/.test(each));
      });
      assert.match(log, /Lease nginx-mesh\/nginx-mesh-controller/);
      assert.equal(
        await restartsOf("nginx-mesh-controller"),
        before,
        "a slow API server is no reason to restart",
      );
      await namespace.kubectl("scale", "deployment/server", "--replicas=5");
      await namespace.ready("deployment/server");
      await sleep(2000);
      const result = await load.stop();
      assertNoneFailed(result, 500);
      assert.equal(Object.keys(result.pods).length, 5, "all pods of the Service are used");
      assert.ok((await meshPods("")).every(isReady));
    });
  },
);
