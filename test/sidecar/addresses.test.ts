/** IPv6: pods with it alone and with both families; capture, original destination, endpoints, certificates, probes. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { manifest } from "../e2e/workload.ts";
import { type BareMesh, type Ended, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;

const ports = [
  { name: "http", port: 80, target: 8080 },
  { name: "tcp-echo", port: 7000, target: 7000 },
  { name: "tcp-first", port: 7001, target: 7001 },
];
const clusterAddresses = { six: "fd99::10", both4: "10.99.0.11", both6: "fd99::11" } as const;
const strict = { "config.nsm.nginx.com/mtls-mode": "strict" };

before(async () => {
  mesh = await startBareMesh({
    manifests: manifest(
      deployment("six", { annotations: strict }),
      service("six", "six", ports),
      deployment("both"),
      service("both", "both", ports),
      deployment("client6"),
      deployment("client46"),
      deployment("plain"),
    ),
    services: { six: [clusterAddresses.six], both: [clusterAddresses.both4, clusterAddresses.both6] },
    serviceRanges: ["10.99.0.0/24", "fd99::/64"],
    pods: [
      { name: "six", addresses: ["fd66::2"], app: "e2e/apps/anything.ts" },
      { name: "both", addresses: ["10.66.0.3", "fd66::3"], app: "e2e/apps/anything.ts" },
      { name: "client6", addresses: ["fd66::4"] },
      { name: "client46", addresses: ["10.66.0.5", "fd66::5"] },
      { name: "plain", addresses: ["10.66.0.6", "fd66::6"], meshed: false },
    ],
  });
  for (const pod of ["six", "both", "client6", "client46"]) {
    await mesh.until(`${pod} is ready`, async () => (await mesh.status(pod)).ready);
  }
  await mesh.until("the applications answer", async () => {
    const answers = await Promise.all([
      get("six", "http://[fd66::2]:8080/"),
      get("both", "http://[fd66::3]:8080/"),
    ]);
    return answers.every(({ status }) => status === 0);
  });
});

afterEach((context) => {
  if (!(context as TestContext & { readonly passed: boolean }).passed) {
    for (const pod of ["six", "both", "client6", "client46", "controller"]) {
      (context as TestContext).diagnostic(`-- ${pod}\n${mesh.log(pod).split("\n").slice(-12).join("\n")}`);
    }
  }
});

after(() => mesh?.stop());

function get(from: string, url: string): Promise<Ended> {
  return mesh.run(from, "curl", "-sS", "-m", "5", "-g", "-w", "\n%{http_code}", url);
}

interface Seen {
  readonly pod: string;
  readonly remoteAddress: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function seen(from: string, url: string): Promise<Seen> {
  const { stdout, stderr } = await get(from, url);
  const [body = "", status] = stdout.split("\n");
  assert.equal(status, "200", `${stdout} ${stderr}`);
  return JSON.parse(body) as Seen;
}

const identity = (name: string): RegExp =>
  new RegExp(`^By=spiffe://example.org/ns/default/sa/\\S+;URI=spiffe://example.org/ns/default/sa/${name}$`);

/** Who, where, and the pod that answers. */
const paths: readonly (readonly [string, string, string])[] = [
  ["client6", `[${clusterAddresses.six}]:80`, "six"],
  ["client6", "[fd66::2]:8080", "six"],
  ["client46", `[${clusterAddresses.six}]:80`, "six"],
  ["client46", `${clusterAddresses.both4}:80`, "both"],
  ["client46", `[${clusterAddresses.both6}]:80`, "both"],
  ["client46", "10.66.0.3:8080", "both"],
];

for (const [from, to, pod] of paths) {
  test(`HTTP from ${from} to ${to}: mTLS, and the application knows who calls`, async () => {
    const { pod: answered, headers } = await seen(from, `http://${to}/`);
    assert.equal(answered, pod);
    assert.match(headers["x-forwarded-client-cert"] ?? "", identity(from));
    assert.equal(headers["host"], to.replace(/:80$/, ""));
  });
}

test("TCP over IPv6, the client first and the server first", async () => {
  const shell = (command: string): Promise<Ended> => mesh.run("client6", "bash", "-c", command);
  const echo = await shell(`exec 3<>/dev/tcp/${clusterAddresses.six}/7000; echo ping >&3; head -n1 <&3`);
  assert.equal(echo.stdout, "ping\n", echo.stderr);
  const first = await shell(`exec 3<>/dev/tcp/fd66::2/7001; head -n1 <&3`);
  assert.equal(first.stdout, "hello from six\n", first.stderr);
});

test("strict mode refuses plain text over IPv6, permissive mode does not", async () => {
  assert.match((await get("plain", "http://[fd66::2]:8080/")).stdout, /\n403$/);
  const { headers } = await seen("plain", "http://10.66.0.3:8080/");
  assert.equal(headers["x-forwarded-client-cert"], undefined);
});

test("an unknown address of the IPv6 Service range is an unknown service", async () => {
  assert.match((await get("client6", "http://[fd99::77]/")).stdout, /no service of the mesh.*\n502$/s);
});

test("what the pod itself connects to at its own IPv6 address needs no mesh", async () => {
  assert.equal((await seen("six", "http://[fd66::2]:8080/")).pod, "six");
});

test("status and metrics answer on IPv6, and the sidecar's other ports do not", async () => {
  assert.match((await get("plain", "http://[fd66::2]:8886/")).stdout, /"ready":true.*\n200$/s);
  assert.match((await get("plain", "http://[fd66::2]:8887/metrics")).stdout, /\n200$/);
  for (const port of [8889, 8900, 8901]) {
    assert.match((await get("plain", `http://[fd66::2]:${port}/`)).stdout, /\n(000|403|502)$/, `${port}`);
  }
});
