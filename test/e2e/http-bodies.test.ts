/** Bodies are streams: nothing is collected, nothing touches a disk, and no memory grows with them. */
import assert from "node:assert/strict";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test, type TestContext } from "node:test";
import type { PodView } from "../../src/local/control.ts";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { residentMiB, showSidecars, sidecarProcesses } from "./sidecar.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let client: PodClient;
let workers: number[];

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({
      name: "server",
      ports: anything,
      probe: anythingReady,
      annotations: { "config.nsm.nginx.com/client-max-body-size": "0" },
    }),
    "client.yaml": idle("client"),
  });
  client = startPodClient(mesh, "client");
  const pods: PodView[] = [await mesh.pod("client"), await mesh.pod("server")];
  workers = pods.flatMap((pod) => sidecarProcesses(pod, mesh).workers);
  assert.equal(workers.length, 2);
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  client?.stop();
  await mesh?.stop();
});

/** Regular files that the workers hold open for writing would be temporary files of bodies. */
function openFiles(): string[] {
  return workers.flatMap((pid) =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
        return /proxy|client_body|\btemp/.test(target) ? [target] : [];
      } catch {
        return [];
      }
    }),
  );
}

interface Watch {
  readonly mostMiB: number;
  readonly files: readonly string[];
}

/** Runs the work, and watches the sidecars' memory and files meanwhile. */
async function watched(work: () => Promise<void>): Promise<Watch> {
  const before = workers.map(residentMiB);
  const files = new Set<string>();
  let mostMiB = 0;
  const timer = setInterval(() => {
    workers.forEach((pid, i) => (mostMiB = Math.max(mostMiB, residentMiB(pid) - before[i]!)));
    openFiles().forEach((file) => files.add(file));
  }, 100);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return { mostMiB, files: [...files] };
}

const large = 5 * 1024 ** 3;
/** What a connection's buffers may take, with room for noise; a five hundredth of the bodies. */
const allowedMiB = 10;

test("a response of 5 GiB: whole, no file, no memory", async () => {
  const seen = await watched(async () => {
    const download = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
    const received = await mesh.exec("client", "curl", ...download, `http://server/produce?bytes=${large}`);
    assert.equal(received.stdout, `200 ${large}`, received.stderr);
  });
  assert.deepEqual(seen.files, []);
  assert.ok(seen.mostMiB < allowedMiB, `grew by ${seen.mostMiB} MiB`);
});

test("a request of 5 GiB: whole, no file, no memory", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nm-body-"));
  const file = join(folder, "body");
  try {
    // takes no room: all of it is a hole
    writeFileSync(file, "");
    truncateSync(file, large);
    chmodSync(folder, 0o755);
    const seen = await watched(async () => {
      const sent = await mesh.exec(
        "client",
        "curl",
        "-sS",
        "-H",
        "Expect:",
        "-T",
        file,
        "http://server/count",
      );
      assert.match(sent.stdout, new RegExp(`"bytes":${large}\\b`), sent.stderr);
    });
    assert.deepEqual(seen.files, []);
    assert.ok(seen.mostMiB < allowedMiB, `grew by ${seen.mostMiB} MiB`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a client that reads slowly holds the server back, not the sidecars' memory", async () => {
  const seen = await watched(async () => {
    const slow = await mesh.exec(
      "client",
      "sh",
      "-c",
      "curl -sS --limit-rate 1M --max-time 3 http://server/produce?bytes=1000000000 | wc -c",
    );
    assert.ok(Number(slow.stdout) < 20_000_000, slow.stdout);
  });
  assert.deepEqual(seen.files, []);
  assert.ok(seen.mostMiB < allowedMiB, `grew by ${seen.mostMiB} MiB`);
});

test("events arrive when they are sent", async () => {
  const delays = await client.run(
    (tools) =>
      new Promise<number[]>((resolve, reject) => {
        const seen: number[] = [];
        tools.http
          .get("http://server/events", (response) => {
            response.on("data", (chunk: Buffer) =>
              seen.push(Date.now() - Number(/data: (\d+)/.exec(chunk.toString())?.[1])),
            );
            response.on("end", () => resolve(seen));
          })
          .on("error", reject);
      }),
    0,
  );
  assert.equal(delays.length, 3);
  // they are sent 300 ms apart
  assert.ok(Math.max(...delays) < 150, delays.join(" "));
});

test("request and response flow at the same time: each chunk is answered before the next is sent", async () => {
  const answers = await client.run(
    (tools) =>
      new Promise<string[]>((resolve, reject) => {
        const seen: string[] = [];
        const request = tools.http.request("http://server/echo", { method: "POST" }, (response) => {
          request.write("0");
          response.on("data", (chunk: Buffer) => {
            seen.push(chunk.toString());
            if (seen.length === 5) {
              request.end();
            } else {
              request.write(String(seen.length));
            }
          });
          response.on("end", () => resolve(seen));
        });
        request.on("error", reject);
        request.setTimeout(5000, () => request.destroy(new Error("no answer to a chunk")));
        request.flushHeaders();
      }),
    0,
  );
  assert.deepEqual(answers, ["0", "1", "2", "3", "4"]);
});

test("a response that breaks off is seen as broken", async () => {
  const broken = await client.run(
    (tools) =>
      tools
        .get(
          "http://server:81/raw/" +
            Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf").toString(
              "base64url",
            ),
        )
        .then(
          () => "whole",
          (error: Error & { code?: string }) => error.code ?? error.message,
        ),
    0,
  );
  assert.notEqual(broken, "whole");
});

test("an answer before the end of the request's body reaches the client", async () => {
  const early = await client.run((tools) => {
    const answer = Buffer.from("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno").toString("base64url");
    const send = `POST /raw/${answer} HTTP/1.1\r\nHost: server\r\nContent-Length: 1000000\r\n\r\nonly a part`;
    return tools.raw("server", 81, { send, until: "no", timeout: 3000 });
  }, 0);
  assert.match(early.text, /^HTTP\/1.1 401 No/);
});

test("chunked both ways", async () => {
  const chunks =
    "POST / HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n";
  const sent = await client.run(
    (tools, send) => tools.raw("server", 80, { send, until: '"bytes":11' }),
    chunks,
  );
  assert.equal(sent.ended, "found", sent.text);
  const script = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
  const path = `/raw/${Buffer.from(script).toString("base64url")}`;
  const { text } = await client.run(
    (tools, send) => tools.raw("server", 81, { send, until: "0\r\n\r\n" }),
    `GET ${path} HTTP/1.1\r\nHost: server\r\n\r\n`,
  );
  assert.match(text, /transfer-encoding: chunked/i);
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  assert.equal(body.replace(/[0-9a-f]+\r\n/g, "").replaceAll("\r\n", ""), "abcdefg");
});

test("Expect: 100-continue is answered and the body follows", async () => {
  const result = await client.run(
    (tools) =>
      new Promise<{ continued: boolean; body: string }>((resolve, reject) => {
        let continued = false;
        const request = tools.http.request("http://server/", {
          method: "PUT",
          headers: { expect: "100-continue", "content-length": "5" },
        });
        request.on("continue", () => {
          continued = true;
          request.end("hello");
        });
        request.on("response", (response) => {
          let body = "";
          response.on("data", (chunk: Buffer) => (body += chunk.toString()));
          response.on("end", () => resolve({ continued, body }));
        });
        request.on("error", reject);
        request.setTimeout(5000, () => request.destroy(new Error("no 100 (Continue)")));
        request.flushHeaders();
      }),
    0,
  );
  assert.equal(result.continued, true);
  assert.match(result.body, /"bytes":5/);
});
