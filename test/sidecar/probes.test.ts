/** Health probes as injected pods have them, and the end of a sidecar: /drain, then SIGQUIT. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { manifest } from "../e2e/workload.ts";
import { probeRequest, type ProbeTarget } from "../../src/wire/probes.ts";
import { drainPath, ports } from "../../src/wire/sidecar.ts";
import { type BareMesh, type Ended, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;
/** The preStop hook of an injected sidecar. */
const hook = join(import.meta.dirname, "../../build/sidecar/drain");

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
      service("leaving", "leaving", [
        { name: "http", port: 80, target: 8080 },
        { name: "grpc", port: 50051, target: 50051 },
      ]),
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

test("/drain is for the pod itself, and the hook says when it is refused", async () => {
  assert.equal((await ask("four", ports.status, "/drain")).status, 403);
  const { status, stderr } = await mesh.run("leaving", hook, String(ports.status), "/elsewhere");
  assert.equal(status, 0, stderr);
  const refused = await mesh.run("leaving", hook, String(ports.metrics), "/elsewhere");
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /the sidecar answers: HTTP\/1\.1 404/);
  const nobody = await mesh.run("kubelet", hook, String(ports.status), drainPath);
  assert.match(nobody.stderr, /connecting to the sidecar at 127\.0\.0\.1:8886: Connection refused/);
});

test("while it drains, callers without a sidecar are told to go elsewhere; it waits for what is open; SIGQUIT then ends it within two seconds", async () => {
  const caller = join(import.meta.dirname, "apps/caller.ts");
  const plain = mesh.run("kubelet", process.execPath, caller, "10.66.0.4");
  const slow = mesh.run("client", "curl", "-sS", "-m", "10", "http://10.99.0.10/slow?ms=2500");
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const started = Date.now();
  const drain = (pod: string): Promise<Ended> => mesh.run(pod, hook, String(ports.status), drainPath);
  const [server, client] = await Promise.all([drain("leaving"), drain("client"), slow]);
  const took = Date.now() - started;
  assert.deepEqual([server.status, client.status], [0, 0], server.stderr + client.stderr);
  assert.ok(took > 2300 && took < 5500, `${took} ms`);
  assert.equal((await slow).stdout, "slow");

  const { stdout, stderr } = await plain;
  const saw = JSON.parse(stdout === "" ? assert.fail(stderr) : stdout) as Saw;
  assert.ok(saw.idleClosedAfter < 2000, `idle connection closed after ${saw.idleClosedAfter} ms`);
  assert.equal(saw.underWay, "200 close");
  assert.equal(saw.later, "200 close");
  assert.deepEqual([saw.session.statuses, saw.session.code], ["200", 0]);
  assert.ok(
    saw.session.requests > 2 && saw.session.requests < 30,
    `GOAWAY after ${saw.session.requests} requests`,
  );

  const quit = Date.now();
  await mesh.endSidecar("leaving", "SIGQUIT");
  assert.ok(Date.now() - quit < 2500, `${Date.now() - quit} ms`);
});

interface Saw {
  readonly idleClosedAfter: number;
  readonly underWay: string;
  readonly later: string;
  readonly session: { readonly requests: number; readonly statuses: string; readonly code: number };
}
