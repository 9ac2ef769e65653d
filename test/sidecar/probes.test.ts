/** Health probes as injected pods have them, and the end of a sidecar: /drain, then SIGQUIT. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { manifest } from "../e2e/workload.ts";
import { probeRequest, type ProbeTarget } from "../../src/wire/probes.ts";
import { ports } from "../../src/wire/sidecar.ts";
import { type BareMesh, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;

const targets: readonly ProbeTarget[] = [
  { kind: "http", port: 8080, path: "/healthz?deep=1&x=%2F" },
  { kind: "http", port: 8080, path: "/down" },
  { kind: "http", port: 8080, path: "/moved" },
  { kind: "http", port: 8080, path: "//double//" },
  { kind: "https", port: 7443, path: "/secure" },
  { kind: "tcp", port: 5432 },
  { kind: "tcp", port: 5433 },
  { kind: "grpc", port: 50051, service: "" },
  { kind: "grpc", port: 50051, service: encodeURIComponent("ü/b") },
  { kind: "grpc", port: 50051, service: "down" },
  { kind: "grpc", port: 50051, service: "unknown" },
  { kind: "grpc", port: 5432, service: "" },
  { kind: "grpc", port: 50052, service: "" },
];
const listed = targets
  .map(probeRequest)
  .map(({ port, path }) => `${port}${path}`)
  .sort()
  .join(" ");
/** By address family: the kubelet uses the pod's first address. */
const addresses = { four: "10.66.0.2", six: "fd66::3" } as const;

before(async () => {
  const strict = { annotations: { "config.nsm.nginx.com/mtls-mode": "strict" } };
  mesh = await startBareMesh({
    manifests: manifest(
      deployment("four", strict),
      deployment("six", strict),
      deployment("leaving"),
      service("leaving", "leaving", [{ name: "http", port: 80, target: 8080 }]),
      deployment("client"),
    ),
    services: { leaving: ["10.99.0.10"] },
    serviceRanges: ["10.99.0.0/24"],
    pods: [
      {
        name: "four",
        addresses: [addresses.four],
        app: "sidecar/apps/probed.ts",
        sidecarEnv: { MESH_PROBES: listed },
      },
      {
        name: "six",
        addresses: [addresses.six],
        app: "sidecar/apps/probed.ts",
        sidecarEnv: { MESH_PROBES: listed },
      },
      { name: "leaving", addresses: ["10.66.0.4"], app: "e2e/apps/anything.ts" },
      { name: "client", addresses: ["10.66.0.5"] },
      { name: "kubelet", addresses: ["10.66.0.6", "fd66::6"], meshed: false },
    ],
  });
  for (const pod of ["four", "six", "leaving", "client"]) {
    await mesh.until(`${pod} is ready`, async () => (await mesh.status(pod)).ready);
  }
  for (const pod of ["four", "six"]) {
    await mesh.until(`the application of ${pod} answers`, async () => {
      const { status } = await mesh.run(
        pod,
        "bash",
        "-c",
        `exec 3<>/dev/tcp/${addresses[pod as "four" | "six"]}/7443`,
      );
      return status === 0;
    });
  }
});

after(() => mesh?.stop());

interface Probed {
  readonly status: number;
  readonly body: string;
}

async function ask(
  pod: keyof typeof addresses,
  port: number,
  path: string,
  ...more: readonly string[]
): Promise<Probed> {
  const host = pod === "six" ? `[${addresses.six}]` : addresses[pod];
  const url = `http://${host}:${port}${path}`;
  const flags = ["-sS", "-m", "5", "-g", "--path-as-is", "-w", "\n%{http_code}"];
  const { stdout, stderr } = await mesh.run("kubelet", "curl", ...flags, ...more, url);
  const end = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) + stderr };
}

/** The status of each target, in their order, and what the body says. */
const expected: readonly (readonly [number, RegExp])[] = [
  [200, /"url":"\/healthz\?deep=1&x=%2F"/],
  [500, /"url":"\/down"/],
  [200, /^$/],
  [200, /"url":"\/\/double\/\/"/],
  [200, /"url":"\/secure"/],
  [200, /^ok/],
  [503, /port 5433 does not accept a connection: connection refused/],
  [200, /^ok/],
  [200, /^ok/],
  [503, /does not say that it is serving "down"/],
  [503, /does not say that it is serving "unknown": .*no service/],
  [503, /port 5432 does not say that it is serving/],
  [200, /^ok/],
];

for (const pod of ["four", "six"] as const) {
  targets.forEach((target, index) => {
    const { port, path } = probeRequest(target);
    test(`probe of pod ${pod} (${addresses[pod]}): ${port}${path}`, async () => {
      const [status, body] = expected[index]!;
      const answer = await ask(pod, port, path);
      assert.equal(answer.status, status, answer.body);
      assert.match(answer.body, body);
    });
  });
}

test("the application sees its own port in Host, or what the probe sets, and no identity", async () => {
  const { port, path } = probeRequest(targets[0]!);
  const headersOf = async (pod: keyof typeof addresses, ...more: readonly string[]) =>
    (JSON.parse((await ask(pod, port, path, ...more)).body) as { headers: Record<string, string> }).headers;
  assert.equal((await headersOf("four"))["host"], "10.66.0.2:8080");
  assert.equal((await headersOf("six"))["host"], "[fd66::3]:8080");
  const set = await headersOf(
    "four",
    "-H",
    "Host: shop.example",
    "-H",
    "X-Forwarded-Client-Cert: forged",
    "-H",
    "X-Own: 1",
  );
  assert.deepEqual(
    [set["host"], set["x-forwarded-client-cert"], set["x-own"]],
    ["shop.example", undefined, "1"],
  );
});

test("nothing else is let through", async () => {
  for (const path of [
    "/",
    "/8080/",
    "/8080/healthz",
    "/8080/healthz?deep=1&x=/",
    "/8080/elsewhere",
    "/tcp/8080",
    "/grpc/50051/x",
    "/7443/secure",
  ]) {
    assert.equal((await ask("four", ports.httpProbes, path)).status, 404, path);
  }
  const { port, path } = probeRequest(targets[0]!);
  assert.equal((await ask("four", port, path, "-X", "POST")).status, 404);
  assert.equal((await ask("four", ports.httpsProbes, path)).status, 404);
});

test("/drain waits for what is open, and says what that was; SIGQUIT then ends the sidecar within two seconds", async () => {
  const slow = mesh.run("client", "curl", "-sS", "-m", "10", "http://10.99.0.10/slow?ms=2500");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const started = Date.now();
  const drain = (pod: string): Promise<{ readonly stdout: string }> =>
    mesh.run(pod, "curl", "-sS", "-m", "28", `http://127.0.0.1:${ports.status}/drain`);
  const [server, client] = await Promise.all([drain("leaving"), drain("client"), slow]);
  const took = Date.now() - started;
  assert.ok(took > 3000 && took < 5500, `${took} ms`);
  assert.match(server.stdout, /"incoming":0/);
  assert.match(client.stdout, /"outgoing":0/);
  assert.equal((await slow).stdout, "slow");
  const quit = Date.now();
  await mesh.endSidecar("leaving", "SIGQUIT");
  assert.ok(Date.now() - quit < 2500, `${Date.now() - quit} ms`);
});
