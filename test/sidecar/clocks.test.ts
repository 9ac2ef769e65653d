/** Nodes whose clocks are off by five minutes: sidecars that see another time than their peers, the authority, NATS and the controller. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { manifest } from "../e2e/workload.ts";
import { type BareMesh, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;

/** Seconds by which the clock of a pod's sidecar is ahead. */
const offsets = { behind: -300, right: 0, ahead: 300 } as const;
type Pod = keyof typeof offsets;
const pods = Object.keys(offsets) as readonly Pod[];
const addressOf = (pod: Pod): string => `10.99.0.${10 + pods.indexOf(pod)}`;
const strict = { "config.nsm.nginx.com/mtls-mode": "strict" };
const served = [
  { name: "http", port: 80, target: 8080 },
  { name: "tcp", port: 81, target: 8080 },
];
/** As libfaketime says it; timers go by the clock that nobody sets. It would look anew, into an environment that nginx has cleared. */
const shifted = (seconds: number): Readonly<Record<string, string>> => ({
  LD_PRELOAD: "/mnt/libfaketime.so.1",
  FAKETIME: `${seconds >= 0 ? "+" : ""}${seconds}s`,
  FAKETIME_DONT_FAKE_MONOTONIC: "1",
  FAKETIME_CACHE_DURATION: "1000000",
});

before(async () => {
  mesh = await startBareMesh({
    manifests: manifest(
      ...pods.flatMap((pod) => [deployment(pod, { annotations: strict }), service(pod, pod, served)]),
    ),
    services: Object.fromEntries(pods.map((pod) => [pod, [addressOf(pod)]])),
    serviceRanges: ["10.99.0.0/24"],
    mnt: "/usr/lib/x86_64-linux-gnu/faketime",
    pods: pods.map((pod, index) => ({
      name: pod,
      addresses: [`10.66.0.${2 + index}`],
      app: "e2e/apps/echo.ts",
      sidecarEnv: shifted(offsets[pod]),
    })),
  });
});

afterEach((context) => {
  if (!(context as TestContext & { readonly passed: boolean }).passed) {
    for (const name of [...pods, "controller"]) {
      (context as TestContext).diagnostic(`-- ${name}\n${mesh.log(name).split("\n").slice(-12).join("\n")}`);
    }
  }
});

after(() => mesh?.stop());

/** Milliseconds between this machine's clock and the one by which a sidecar dates its answers. */
async function offsetOf(pod: Pod): Promise<number> {
  const { stdout } = await mesh.run(pod, "curl", "-sI", "http://127.0.0.1:8886/");
  return Date.parse(/^date: (.*)$/im.exec(stdout)?.[1] ?? "") - Date.now();
}

async function clocksAreOff(): Promise<void> {
  for (const pod of pods) {
    const off = await offsetOf(pod);
    assert.ok(Math.abs(off - offsets[pod] * 1000) < 3000, `${pod}: ${off} ms`);
  }
}

async function everyPairIsAnswered(): Promise<void> {
  for (const from of pods) {
    for (const to of pods.filter((pod) => pod !== from)) {
      for (const { port } of served) {
        const args = ["-s", "-m", "5", "-w", "%{http_code}", `http://${addressOf(to)}:${port}/`];
        const { stdout } = await mesh.run(from, "curl", ...args);
        const [body = "", status] = stdout.split("\n");
        const what = `from the sidecar that is ${from} to the one that is ${to}, port ${port}`;
        assert.equal(status, "200", `${what}: ${stdout}`);
        assert.equal((JSON.parse(body) as { pod: string }).pod, to, what);
        if (port === 80) {
          assert.match(body, new RegExp(`URI=spiffe://example.org/ns/default/sa/${from}"`), what);
        }
      }
    }
  }
}

test("sidecars with clocks of five minutes behind and ahead are ready, by their clocks", async () => {
  for (const pod of pods) {
    await mesh.until(`the sidecar that is ${pod} is ready`, async () => (await mesh.status(pod)).ready);
  }
  await clocksAreOff();
});

test("each reaches each, with SVIDs of now, strict", async () => {
  await mesh.until("the applications answer", async () => {
    const answers = await Promise.all(
      pods.map((pod) => mesh.run(pod, "curl", "-s", "http://127.0.0.1:8080/")),
    );
    return answers.every(({ status }) => status === 0);
  });
  await everyPairIsAnswered();
});

test("and with SVIDs that replace these; the clocks are as they were", async () => {
  const updates = async (pod: Pod): Promise<number> =>
    ((await mesh.status(pod)) as unknown as { svid: { updates: number } }).svid.updates;
  for (const pod of pods) {
    const seen = await updates(pod);
    await mesh.rotate(pod);
    await mesh.until(`${pod} has a new SVID`, async () => (await updates(pod)) > seen);
  }
  await everyPairIsAnswered();
  await clocksAreOff();
});
