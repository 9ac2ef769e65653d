/**
 * An ingress controller in front of the mesh: a pod without a sidecar whose nginx has an SVID and speaks mTLS to the pods
 * of a Service, verifying the Service's name, as NGINX Ingress Controller does with -spire-agent-address.
 */
import assert from "node:assert/strict";
import { request } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import {
  type ControllerConfiguration,
  type RunningController,
  startController,
  upstreamTls,
} from "./ingress-controller.ts";
import { grpcClient, call, raw } from "./apps/tools.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { showSidecars } from "./sidecar.ts";
import { authorityIn, bundlePem, type Pem, pemOf } from "./svids.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

const ingress = { "nsm.nginx.com/enable-ingress": "true" };
const modes = ["off", "permissive", "strict"] as const;
type Mode = (typeof modes)[number];

let mesh: TestMesh;
let bundle = "";
const folder = mkdtempSync(join(tmpdir(), "nm-authority-"));
const svids = new Map<string, Pem | undefined>();

async function makeSvids(): Promise<void> {
  const authority = await authorityIn(mesh.layout.authority);
  const foreign = await authorityIn(folder);
  const id = (account: string): string => `spiffe://example.org/ns/default/sa/${account}`;
  bundle = bundlePem(authority);
  for (const account of ["nic", "unlabelled", "later"]) {
    svids.set(`of ${account}`, pemOf(await authority.issue({ spiffeId: id(account), ttlSeconds: 600 })));
  }
  svids.set("another's", pemOf(await authority.issue({ spiffeId: id("strict"), ttlSeconds: 600 })));
  svids.set("expired", pemOf(await authority.issue({ spiffeId: id("nic"), ttlSeconds: 1 })));
  svids.set("of another CA", pemOf(await foreign.issue({ spiffeId: id("nic"), ttlSeconds: 600 })));
  svids.set("none", undefined);
  await authority.close();
  await foreign.close();
}

before(async () => {
  const servers = modes.map((mode) => [
    `${mode}.yaml`,
    workload({
      name: mode,
      ports: anything,
      probe: anythingReady,
      annotations: { "config.nsm.nginx.com/mtls-mode": mode },
    }),
  ]);
  mesh = await startMesh({
    ...(Object.fromEntries(servers) as Record<string, string>),
    "nic.yaml": idle("nic", { labels: ingress }),
    "unlabelled.yaml": idle("unlabelled", { meshed: false }),
  });
  await makeSvids();
  await sleep(2500);
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The controller's ports for each server of the mesh: HTTP, gRPC, TCP where client or server speaks first. */
const fronts = { http: 8000, grpc: 8100, tcp: 8200, first: 8300, plain: 8400, plainFirst: 8500 } as const;

function configuration(addresses: Readonly<Record<Mode, string>>, own: boolean): ControllerConfiguration {
  const each = (server: (mode: Mode, address: string, index: number) => string): string =>
    modes.map((mode, index) => server(mode, addresses[mode], index)).join("\n");
  return {
    http: (files) =>
      each(
        (mode, address, index) => `
upstream ${mode} { server ${address}:8080; keepalive 4; }
server {
    listen ${fronts.http + index};
    location / {
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        ${upstreamTls("proxy", files, `${mode}.default.svc`, own)}
        proxy_pass https://${mode};
    }
}
server {
    listen ${fronts.grpc + index};
    http2 on;
    location / {
        ${upstreamTls("grpc", files, `${mode}.default.svc`, own)}
        grpc_pass grpcs://${address}:50051;
    }
}
server {
    listen ${fronts.plain + index};
    location / { proxy_pass http://${address}:8080; }
}`,
      ),
    stream: (files) =>
      each((mode, address, index) => {
        const tcp = (front: number, port: number): string =>
          `server { listen ${front + index}; proxy_ssl on; ${upstreamTls("proxy", files, `${mode}.default.svc`, own)} proxy_pass ${address}:${port}; }`;
        return `${tcp(fronts.tcp, 7000)} ${tcp(fronts.first, 7001)}
server { listen ${fronts.plainFirst + index}; proxy_pass ${address}:7001; }`;
      }),
  };
}

async function addressesOf(): Promise<Record<Mode, string>> {
  const pods = await Promise.all(modes.map(async (mode) => [mode, (await mesh.pod(mode)).address]));
  return Object.fromEntries(pods) as Record<Mode, string>;
}

async function withController(
  where: string,
  svid: string,
  work: (address: string, controller: RunningController) => Promise<void>,
): Promise<void> {
  const pod = await mesh.pod(where);
  const own = svids.get(svid);
  const files = { svid: own, bundle };
  const controller = await startController(
    mesh,
    pod,
    files,
    configuration(await addressesOf(), own !== undefined),
  );
  try {
    await work(pod.address, controller);
  } finally {
    await controller.stop();
  }
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(host: string, port: number, path = "/"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const message = request({ host, port, path, agent: false, timeout: 8000 }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    message.on("timeout", () => message.destroy(new Error("no answer")));
    message.on("error", reject).end();
  });
}

for (const [index, mode] of modes.entries()) {
  test(`mode ${mode}: HTTP, gRPC and TCP from an ingress controller with its SVID`, async () => {
    await withController("nic", "of nic", async (address, controller) => {
      const http = await ask(address, fronts.http + index, "/a//b?c=%20d");
      assert.equal(http.status, 200, controller.log());
      const seen = JSON.parse(http.body) as { url: string; headers: Record<string, string> };
      assert.equal(seen.url, "/a//b?c=%20d");
      assert.equal(
        seen.headers["x-forwarded-client-cert"],
        `By=spiffe://example.org/ns/default/sa/${mode};URI=spiffe://example.org/ns/default/sa/nic`,
      );
      const client = grpcClient(`${address}:${fronts.grpc + index}`);
      const answer = await call(client, "unary", "metadata?");
      assert.equal(answer.code, grpc.status.OK, answer.details);
      assert.match(answer.message, /URI=spiffe:\/\/example.org\/ns\/default\/sa\/nic/);
      // no byte of the mesh's own comes before the application's
      const tcp = await raw(address, fronts.tcp + index, { send: "ping", until: "ping", timeout: 4000 });
      assert.equal(tcp.text, "ping");
      const first = await raw(address, fronts.first + index, { until: "\n", timeout: 4000 });
      assert.match(first.text, /^[^\0]/);
      assert.equal(first.ended, "found");
    });
  });
}

/** What a controller gets of HTTP, gRPC and TCP: 200, 0 and "ping" when all is well. */
async function outcome(address: string, mode: Mode): Promise<readonly (number | string)[]> {
  const index = modes.indexOf(mode);
  const client = grpcClient(`${address}:${fronts.grpc + index}`);
  const [http, call_, tcp] = await Promise.all([
    ask(address, fronts.http + index),
    call(client, "unary", "x"),
    raw(address, fronts.tcp + index, { send: "ping", until: "ping", timeout: 4000 }),
  ]);
  client.close();
  return [http.status, call_.code, tcp.text];
}

for (const svid of ["another's", "expired", "of another CA", "none"]) {
  test(`an ingress controller with an SVID that is not its own is refused in every mode: ${svid}`, async () => {
    await withController("nic", svid, async (address) => {
      for (const mode of modes) {
        const [http, code, tcp] = await outcome(address, mode);
        assert.deepEqual([http, tcp], [502, ""], mode);
        assert.notEqual(code, grpc.status.OK, mode);
      }
    });
  });
}

test("the refusal names both identities", async () => {
  await withController("nic", "another's", async (address) => {
    await ask(address, fronts.http + modes.indexOf("strict"));
    assert.match(
      mesh.log(await mesh.pod("strict"), "sidecar"),
      /refused peer "spiffe:\/\/example.org\/ns\/default\/sa\/strict": the configuration expects "spiffe:\/\/example.org\/ns\/default\/sa\/nic"/,
    );
  });
});

test("a valid SVID from a pod that is not labelled: its TLS is an application's own, and strict refuses it", async () => {
  await withController("unlabelled", "of unlabelled", async (address) => {
    for (const mode of modes) {
      const [http, , tcp] = await outcome(address, mode);
      assert.deepEqual([http, tcp], [502, ""], mode);
    }
  });
});

test("plain text of an ingress controller: as from everybody else, without a wait where the server speaks first", async () => {
  await withController("nic", "of nic", async (address) => {
    for (const [index, mode] of modes.entries()) {
      const { status, body } = await ask(address, fronts.plain + index);
      const tcp = await raw(address, fronts.plainFirst + index, { until: "\n", timeout: 3000 });
      if (mode === "strict") {
        assert.equal(status, 403);
        assert.doesNotMatch(tcp.text, /hello/);
        continue;
      }
      assert.equal(status, 200, mode);
      assert.doesNotMatch(body, /forwarded-client-cert/);
      assert.match(tcp.text, /^hello from/, mode);
      assert.ok(tcp.firstByteMs < 1000, `${tcp.firstByteMs} ms`);
    }
  });
});

test("a pod without the label is no ingress controller; the one that takes its place with the label is", async () => {
  const strict = modes.indexOf("strict");
  mesh.write("later.yaml", idle("later", { meshed: false }));
  await mesh.until("pod later", ({ pods }) =>
    pods.some(({ owner, ready }) => owner.endsWith("/later") && ready),
  );
  await withController("later", "of later", async (address) =>
    assert.equal((await ask(address, fronts.http + strict)).status, 502),
  );
  const before = (await mesh.pod("later")).name;
  mesh.write("later.yaml", idle("later", { labels: ingress }));
  await mesh.until("pod later anew", ({ pods }) =>
    pods.filter(({ owner }) => owner.endsWith("/later")).every(({ name, ready }) => name !== before && ready),
  );
  await withController("later", "of later", async (address) => {
    let seen = await outcome(address, "strict");
    for (let tries = 0; seen[0] !== 200 && tries < 20; tries += 1) {
      await sleep(100);
      seen = await outcome(address, "strict");
    }
    assert.deepEqual(seen, [200, grpc.status.OK, "ping"]);
  });
});

test("a Service that comes later: its name is in the server's SVID", async () => {
  const added = { apiVersion: "v1", kind: "Service", metadata: { name: "alias" } };
  mesh.write(
    "alias.yaml",
    JSON.stringify({ ...added, spec: { selector: { app: "strict" }, ports: [{ name: "http", port: 80 }] } }),
  );
  const { address: target } = await mesh.pod("strict");
  const pod = await mesh.pod("nic");
  const controller = await startController(
    mesh,
    pod,
    { svid: svids.get("of nic"), bundle },
    {
      http: (files) => `server { listen 8000; location / {
        ${upstreamTls("proxy", files, "alias.default.svc", true)}
        proxy_pass https://${target}:8080; } }`,
    },
  );
  let status = 0;
  for (let tries = 0; status !== 200 && tries < 50; tries += 1) {
    await sleep(100);
    ({ status } = await ask(pod.address, 8000));
  }
  const log = controller.log();
  await controller.stop();
  assert.equal(status, 200, log);
});
