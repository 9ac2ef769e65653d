import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { kubeClient } from "./kube-client.ts";
import { describeQuestion, explainNoAnswer, explainStatus } from "./kube-failure.ts";
import { loadCluster } from "./kubeconfig.ts";

const folder = mkdtempSync(join(tmpdir(), "kube-"));
after(() => rmSync(folder, { recursive: true }));

interface Parts {
  readonly server?: string;
  readonly user?: object;
  readonly context?: string;
  readonly cluster?: string;
}

/** A kubeconfig as kubectl writes it. */
function kubeconfig(name: string, parts: Parts = {}): string {
  const path = join(folder, name);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": parts.context ?? name,
    clusters: [
      {
        name,
        cluster: { server: parts.server ?? "https://127.0.0.1:1", "insecure-skip-tls-verify": true },
      },
    ],
    users: [{ name, user: parts.user ?? { token: "t" } }],
    contexts: [{ name, context: { cluster: parts.cluster ?? name, user: name } }],
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const noEnvironment = { HOME: folder };

test("which kubeconfig", async () => {
  const [a, b] = [kubeconfig("a"), kubeconfig("b")];
  assert.equal((await loadCluster({ kubeconfig: a, environment: { KUBECONFIG: b } })).context, "a");
  assert.equal((await loadCluster({ environment: { KUBECONFIG: `/none:${b}:${a}` } })).context, "b");
  assert.deepEqual((await loadCluster({ environment: { KUBECONFIG: `${a}:${b}` } })).files, [a, b]);
  const { name } = await loadCluster({ kubeconfig: a, environment: noEnvironment });
  assert.equal(name, 'cluster "a" (https://127.0.0.1:1)');
});

test("what is wrong with a kubeconfig is said", async () => {
  const broken = join(folder, "broken");
  writeFileSync(broken, "{");
  const cases: readonly (readonly [string | undefined, RegExp])[] = [
    [join(folder, "none"), /there is no kubeconfig: .*none does not exist/],
    [undefined, /there is no kubeconfig: .*\.kube\/config does not exist; name one with --kubeconfig/],
    [broken, /cannot read the kubeconfig .*broken/],
    [kubeconfig("no-context", { context: "" }), /has no current context/],
    [kubeconfig("lost-context", { context: "other" }), /has no context "other"/],
    [kubeconfig("lost-cluster", { cluster: "other" }), /has no cluster "other"/],
    [kubeconfig("odd-server", { server: "nowhere" }), /is no URL: nowhere/],
  ];
  for (const [file, message] of cases) {
    const place = file === undefined ? {} : { kubeconfig: file };
    await assert.rejects(loadCluster({ ...place, environment: noEnvironment }), {
      name: "CommandError",
      message,
    });
  }
});

async function answerOf(parts: Parts, timeout: number): Promise<unknown> {
  const cluster = await loadCluster({ kubeconfig: kubeconfig("asked", parts) });
  return kubeClient(cluster, { timeout, clock: () => performance.now() }).json({ path: "/version" });
}

/** An exec plugin that does what the script says. */
function plugin(script: string): object {
  const path = join(folder, "plugin");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return { exec: { apiVersion: "client.authentication.k8s.io/v1", command: path, interactiveMode: "Never" } };
}

/** Listens for the time of `body`, which gets `127.0.0.1:PORT`. */
async function listening(server: Server, body: (address: string) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await body(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  }
}

test("an API server that is not there, that is silent, and that is none", async () => {
  await assert.rejects(answerOf({}, 2000), /cannot be reached: the connection was refused/);
  await assert.rejects(
    answerOf({ server: "https://no-such-host.invalid" }, 5000),
    /its host name is not known/,
  );
  await listening(createNetServer(), async (address) => {
    await assert.rejects(answerOf({ server: `https://${address}` }, 200), /did not answer within 0\.2 s/);
  });
  const page = createServer((_request, response) => response.end("<html>"));
  await listening(page, async (address) => {
    await assert.rejects(answerOf({ server: `http://${address}` }, 2000), /something else than JSON/);
    await assert.rejects(answerOf({ server: `https://${address}` }, 2000), /does the server .* speak TLS/);
  });
});

test("exec plugins: their token is used, and their failures are told", async () => {
  const seen: (string | undefined)[] = [];
  const api = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.end("{}");
  });
  const credential = `[ -n "$KUBERNETES_EXEC_INFO" ] && echo '{"kind":"ExecCredential","status":{"token":"from-plugin"}}'`;
  await listening(api, async (address) => {
    const ask = (user: object, timeout = 5000): Promise<unknown> =>
      answerOf({ server: `http://${address}`, user }, timeout);
    await ask(plugin(credential));
    assert.deepEqual(seen, ["Bearer from-plugin"]);
    await assert.rejects(
      ask(plugin("echo login has expired >&2; exit 1")),
      /the credential plugin ".*plugin" of the kubeconfig .* failed: login has expired/,
    );
    const missing = { exec: { command: "/no/such/plugin", installHint: "install it from example.org" } };
    await assert.rejects(ask(missing), /ENOENT\ninstall it from/);
    await assert.rejects(ask(plugin("exec sleep 3"), 200), /did not come within the timeout/);
  });
});

test("questions, as RBAC names them", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["GET", "/api/v1/pods?labelSelector=x", "list pods"],
    ["GET", "/api/v1/namespaces/m/pods", "list pods in namespace m"],
    ["GET", "/api/v1/namespaces/m", 'get namespaces "m"'],
    ["GET", "/apis/apps/v1/namespaces/m/deployments/c", 'get deployments.apps "c" in namespace m'],
    ["GET", "/api/v1/namespaces/m/pods/p/portforward?ports=1", 'get pods/portforward "p" in namespace m'],
    ["POST", "/api/v1/namespaces", "create namespaces"],
    ["DELETE", "/api/v1/namespaces/m/secrets/s", 'delete secrets "s" in namespace m'],
    [
      "PATCH",
      "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c",
      'patch customresourcedefinitions.apiextensions.k8s.io "c"',
    ],
    ["GET", "/version", "get /version"],
  ];
  for (const [method, path, expected] of cases) {
    assert.equal(describeQuestion({ method, path }), expected);
  }
});

test("what an error status means", () => {
  const question = { method: "GET", path: "/apis/apps/v1/namespaces/m/deployments/c" };
  const body = JSON.stringify({ kind: "Status", message: 'User "u" cannot get resource "deployments"' });
  const cases: readonly (readonly [number, string, RegExp])[] = [
    [401, "", /^c does not accept the credentials .*log in anew$/],
    [
      403,
      body,
      /^c does not allow this user to get deployments\.apps "c" in namespace m: User "u" cannot get/,
    ],
    [404, "not json", /has no such thing .*: not json$/],
    [503, "", /overloaded or starting/],
    [500, "{}", /refused to get .* with status 500/],
  ];
  for (const [status, text, expected] of cases) {
    assert.match(explainStatus("c", question, status, text), expected);
  }
});

test("what no answer means", () => {
  const error = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });
  assert.match(
    explainNoAnswer("c", error("CERT_HAS_EXPIRED"), 1),
    /cannot be trusted: its certificate has expired/,
  );
  assert.match(explainNoAnswer("c", error("EHOSTUNREACH"), 1), /is a VPN needed/);
  assert.match(explainNoAnswer("c", error("ABORT_ERR"), 5000), /within 5 s/);
  assert.match(explainNoAnswer("c", error("EOTHER"), 1), /asking c failed: EOTHER/);
});
