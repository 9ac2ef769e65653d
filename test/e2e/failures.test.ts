/** When nothing answers: which status, from whom, and what is tried again. */
import assert from "node:assert/strict";
import { after, afterEach, before, test, type TestContext } from "node:test";
import type { Answer } from "./apps/tools.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarStatus } from "./sidecar.ts";
import { anything, anythingReady, idle, manifest, service, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;

before(async () => {
  const half = { ports: anything, labels: { group: "mixed" } };
  mesh = await startMesh({
    "none.yaml": workload({ name: "none", replicas: 0, ports: anything }),
    "up.yaml": workload({ name: "up", probe: anythingReady, ...half }),
    // ready, though its HTTP and gRPC ports are closed
    "down.yaml": workload({
      name: "down",
      env: { OFFLINE: "8080,50051,7000,7002,7003" },
      probe: { tcpSocket: { port: 7001 }, periodSeconds: 1 },
      ...half,
    }),
    "mixed.yaml": manifest(service("mixed", { group: "mixed" }, anything)),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

function get(url: string, method = "GET"): Promise<Answer> {
  return client.run((tools, given) => tools.get(given.url, { method: given.method, agent: false }), {
    url,
    method,
  });
}

/** Short plain text with the reason, and a header that says that it was the mesh. */
function assertRefusal(answer: Answer, status: number, error: string, reason: RegExp): void {
  assert.equal(answer.status, status, answer.body);
  assert.equal(answer.headers["nginx-mesh-error"], error);
  assert.equal(answer.headers["content-type"], "text/plain");
  assert.match(answer.body, reason);
  assert.match(answer.body, /^nginx-mesh: .*\n$/);
  assert.ok(answer.body.length < 300 && !answer.body.includes("<"), answer.body);
}

test("a Service without endpoints: 503; TCP is closed; HEAD has no body", async () => {
  assertRefusal(await get("http://none/"), 503, "no-endpoint", /no endpoint is ready for .*none/);
  const head = await get("http://none/", "HEAD");
  assert.equal(head.status, 503);
  assert.equal(head.body, "");
  const tcp = await client.run((tools) => tools.raw("none", 7000, { send: "x", timeout: 3000 }), 0);
  assert.equal(tcp.text, "");
  assert.match(tcp.ended, /closed|reset/);
});

test("the only endpoint is down: 502 for every method; TCP is closed", async () => {
  for (const method of ["GET", "POST"]) {
    assertRefusal(
      await get("http://down/", method),
      502,
      "upstream-failed",
      /application refuses connections\n/,
    );
  }
  const tcp = await client.run((tools) => tools.raw("down", 7000, { send: "x", timeout: 3000 }), 0);
  assert.equal(tcp.text, "");
  assert.match(tcp.ended, /closed|reset/);
});

test("one of two endpoints is down: requests that may be repeated all succeed", async () => {
  const outcome = await client.run(async (tools) => {
    const statuses: number[] = [];
    const pods = new Set<string>();
    for (let i = 0; i < 40; i += 1) {
      const answer = await tools.get("http://mixed/", { agent: false });
      statuses.push(answer.status);
      pods.add(String(answer.headers["served-by"]).replace(/-.*/, ""));
    }
    return { statuses, pods: [...pods] };
  }, 0);
  assert.ok(
    outcome.statuses.every((status) => status === 200),
    outcome.statuses.join(" "),
  );
  assert.deepEqual(outcome.pods, ["up"]);
});

/** A client whose sidecar knows nothing of the endpoints yet: the first requests find out. */
async function fresh<R>(work: (stranger: PodClient) => Promise<R>): Promise<R> {
  strangers += 1;
  const name = `stranger-${strangers}`;
  mesh.write(`${name}.yaml`, idle(name));
  await mesh.until(`${name} is ready`, (view) =>
    view.pods.some((pod) => pod.owner.endsWith(`/${name}`) && pod.ready),
  );
  const stranger = startPodClient(mesh, name);
  try {
    return await work(stranger);
  } finally {
    stranger.stop();
    mesh.write(`${name}.yaml`, undefined);
  }
}
let strangers = 0;

/** Bodies by how they come: with the header, after it, in chunks that are complete. */
const bodies: readonly (readonly [string, string])[] = [
  ["in one piece with the header", "Content-Length: 4\r\n\r\n|body"],
  ["60 KiB", `Content-Length: 61440\r\n\r\n|${"x".repeat(61440)}`],
  ["chunked", "Transfer-Encoding: chunked\r\n\r\n|4\r\nbody\r\n0\r\n\r\n"],
];

for (const [what, text] of bodies) {
  test(`one of two endpoints is down: every POST goes to the other one, body ${what}`, async () => {
    const send = `POST / HTTP/1.1\r\nHost: mixed\r\nConnection: close\r\n${text.replace("|", "")}`;
    const statuses = await fresh((stranger) =>
      stranger.run(async (tools, given) => {
        const seen: string[] = [];
        for (let i = 0; i < 10; i += 1) {
          const { text: answer } = await tools.raw("mixed", 80, { send: given });
          seen.push(`${answer.slice(9, 12)} ${/"bytes":\d+/.exec(answer)?.[0]}`);
        }
        return [...new Set(seen)];
      }, send),
    );
    assert.deepEqual(statuses, [`200 "bytes":${what === "60 KiB" ? 61440 : 4}`]);
  });
}

test("one of two endpoints is down: a POST whose body comes after its header goes to the other one", async () => {
  const statuses = await fresh((stranger) =>
    stranger.run(async (tools) => {
      const seen = new Set<number>();
      for (let i = 0; i < 10; i += 1) {
        const status = await new Promise<number>((resolve, reject) => {
          const options = { method: "POST", agent: false, headers: { "content-length": "20" } };
          const request = tools.http.request("http://mixed/", options, (response) => {
            response.resume();
            response.on("end", () => resolve(response.statusCode ?? 0));
          });
          request.on("error", reject);
          request.flushHeaders();
          setTimeout(() => request.write("first half"), 20);
          setTimeout(() => request.end("second one"), 40);
        });
        seen.add(status);
      }
      return [...seen];
    }, 0),
  );
  assert.deepEqual(statuses, [200]);
});

test("one of two endpoints is down: every unary call goes to the other one", async () => {
  const codes = await fresh((stranger) =>
    stranger.run(async (tools) => {
      const seen = new Set<string>();
      for (let i = 0; i < 10; i += 1) {
        const stub = tools.grpcClient("mixed:50051");
        const { code, message } = await tools.call(stub, "unary", "x".repeat(1000));
        seen.add(`${code} ${message.length > 1000}`);
        stub.close();
      }
      return [...seen];
    }, 0),
  );
  assert.deepEqual(codes, ["0 true"]);
});

test("one of two endpoints is down: a body that is too long to be kept fails with the reason, once", async () => {
  const answers = await fresh((stranger) =>
    stranger.run(async (tools) => {
      const seen: string[] = [];
      for (let i = 0; i < 10; i += 1) {
        const body = "x".repeat(300_000);
        const answer = await tools.get("http://mixed/", { method: "POST", agent: false }, body);
        seen.push(answer.status === 200 ? "200" : `${answer.status} ${answer.body}`);
      }
      return seen;
    }, 0),
  );
  const failed = answers.filter((answer) => answer !== "200");
  assert.ok(failed.length <= 1, answers.join("\n"));
  for (const answer of failed) {
    assert.match(
      answer,
      /^502 nginx-mesh: the application of the chosen endpoint refuses .* longer than 64 KiB/,
    );
  }
});

test("one of two endpoints is down: TCP goes to the other one, whoever speaks first", async () => {
  const seen = await fresh((stranger) =>
    stranger.run(async (tools) => {
      const counts: Record<string, number> = {};
      const count = (what: string): void => void (counts[what] = (counts[what] ?? 0) + 1);
      for (let i = 0; i < 10; i += 1) {
        const echo = await tools.raw("mixed", 7000, { send: "ping", until: "ping" });
        count(`7000 ${echo.text}`);
        const sum = await tools.raw("mixed", 7002, { send: "x".repeat(10_000), end: true });
        count(`7002 ${sum.text.trim()}`);
        const first = await tools.raw("mixed", 7003, {});
        count(`7003 ${first.text}`);
      }
      return counts;
    }, 0),
  );
  assert.deepEqual(seen, { "7000 ping": 10, "7002 10000 bytes": 10, "7003 bye": 10 });
});

test("TCP to an application that refuses: set aside after the first connection", async () => {
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  const before = destinations?.find((entry) => /down port 7000/.test(entry.destination));
  assert.equal(before?.endpoints?.[0]?.state, "set aside", JSON.stringify(destinations));
});

test("an application that hands on what a sidecar said of another one is not taken for down", async () => {
  const script =
    "HTTP/1.1 502 Own\r\nContent-Length: 3\r\nNginx-Mesh-Error: unreachable\r\nNginx-Mesh-Error: unreachable\r\n\r\nown";
  const path = Buffer.from(script).toString("base64url");
  const answer = await get(`http://up:81/raw/${path}`);
  assert.deepEqual(
    [answer.status, answer.body, answer.headers["nginx-mesh-error"]],
    [502, "own", "application, application"],
  );
});

test("a request that ends before it went to its endpoint is not in flight there", async () => {
  const inFlight = async (): Promise<readonly number[]> =>
    (await sidecarStatus(await mesh.pod("client"))).destinations
      ?.filter((entry) => entry.destination.endsWith("up port 80"))
      .flatMap((entry) => entry.endpoints?.map((endpoint) => endpoint.inFlight) ?? []) ?? [];
  await get("http://up/");
  const answers = await client.run(async (tools) => {
    const texts: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      const send = "POST / HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n";
      texts.push((await tools.raw("up", 80, { send })).text.split("\r\n")[0] ?? "");
    }
    return texts;
  }, 0);
  assert.deepEqual(new Set(answers), new Set(["HTTP/1.1 400 Bad Request"]));
  assert.deepEqual(await inFlight(), [0]);
});

test("an endpoint that refuses is set aside, and the status says why", async () => {
  const { destinations } = await sidecarStatus(await mesh.pod("client"));
  const all =
    destinations
      ?.filter((entry) => entry.destination.includes("mixed"))
      .flatMap((entry) => entry.endpoints ?? []) ?? [];
  const aside = all.filter((endpoint) => endpoint.state === "set aside");
  assert.ok(aside.length > 0, JSON.stringify(all));
  for (const endpoint of aside) {
    assert.match(endpoint.pod, /^down-/);
    assert.match(endpoint.reason, /attempts to connect failed/);
  }
});

test("a connection that breaks after the request was sent: repeated only if the method allows it", async () => {
  const counts = await client.run(async (tools) => {
    const broken = async (method: string): Promise<{ status: number; error: unknown }> => {
      const answer = await tools.get("http://up/break", { method, agent: false });
      return { status: answer.status, error: answer.headers["nginx-mesh-error"] };
    };
    return { get: await broken("GET"), post: await broken("POST") };
  }, 0);
  assert.deepEqual(counts, {
    get: { status: 502, error: "upstream-failed" },
    post: { status: 502, error: "upstream-failed" },
  });
});

test("errors of the application are its own: status, body and headers untouched", async () => {
  const script = Buffer.from("HTTP/1.1 503 Own\r\nContent-Length: 3\r\nX-Own: 1\r\n\r\nown").toString(
    "base64url",
  );
  const answer = await get(`http://up:81/raw/${script}`);
  assert.deepEqual([answer.status, answer.body, answer.headers["x-own"]], [503, "own", "1"]);
  assert.equal(answer.headers["nginx-mesh-error"], undefined);
});

test("a Service address that nothing is known of: 502; a port that the Service does not have likewise", async () => {
  const range = (await mesh.exec("client", "getent", "ahostsv4", "up")).stdout.split(" ")[0]!;
  const unknown = `${range.split(".").slice(0, 3).join(".")}.250`;
  assertRefusal(await get(`http://${unknown}/`), 502, "unknown-service", /no service of the mesh/);
  assertRefusal(await get("http://up:4711/"), 502, "unknown-service", /no service of the mesh/);
  const tcp = await client.run(
    (tools, host) => tools.raw(host, 5432, { send: "\0\0\0\x08\x04\xd2\x16\x2f", timeout: 4000 }),
    unknown,
  );
  assert.equal(tcp.text, "");
  assert.match(tcp.ended, /closed|reset/);
});

test("the refusal of an unknown Service ends its connection: the next one asks anew", async () => {
  const range = (await mesh.exec("client", "getent", "ahostsv4", "up")).stdout.split(" ")[0]!;
  const unknown = `${range.split(".").slice(0, 3).join(".")}.250`;
  const request = "GET / HTTP/1.1\r\nHost: unknown\r\n\r\n";
  const { text, ended } = await client.run(
    (tools, { host, send }) => tools.raw(host, 80, { send, timeout: 4000 }),
    { host: unknown, send: request },
  );
  assert.match(text, /^HTTP\/1\.1 502 .*\r\nConnection: close\r\n/s);
  assert.match(ended, /closed/);
});

test("a Service that goes away: its connections are told so", async () => {
  mesh.write("gone.yaml", manifest(service("gone", { app: "up" }, anything)));
  const status = await client.run(async (tools) => {
    for (let i = 0; i < 50; i += 1) {
      const answer = await tools.get("http://gone/").catch(() => undefined);
      if (answer?.status === 200) {
        return 200;
      }
      await tools.timers.setTimeout(100);
    }
    return 0;
  }, 0);
  assert.equal(status, 200);
  const address = (await mesh.exec("client", "getent", "ahostsv4", "gone")).stdout.split(" ")[0]!;
  mesh.write("gone.yaml", undefined);
  const after = await client.run(async (tools, host) => {
    for (let i = 0; i < 50; i += 1) {
      const answer = await tools.get(`http://${host}/`, { agent: false });
      if (answer.status !== 200) {
        return { status: answer.status, error: answer.headers["nginx-mesh-error"] };
      }
      await tools.timers.setTimeout(100);
    }
    return { status: 0, error: "" };
  }, address);
  assert.deepEqual(after, { status: 502, error: "unknown-service" });
});

test("a server that speaks first behind an unknown Service address: closed, not left hanging", async () => {
  const range = (await mesh.exec("client", "getent", "ahostsv4", "up")).stdout.split(" ")[0]!;
  const unknown = `${range.split(".").slice(0, 3).join(".")}.251`;
  const answer = await client.run((tools, host) => tools.raw(host, 7001, { timeout: 5000 }), unknown);
  assert.match(answer.ended, /closed|reset/);
});
