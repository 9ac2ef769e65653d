/** SVIDs that are replaced two thousand times, under traffic: what the worker holds does not grow, and no request fails. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { manifest } from "../e2e/workload.ts";
import { type BareMesh, type BarePod, startBareMesh } from "./bare-mesh.ts";
import { deployment, service } from "./manifests.ts";

let mesh: BareMesh;

/** Those whose SVIDs are replaced: a server, and a client whose every request is a TCP connection and a handshake of its own. */
const pods = ["web", "fresh"] as const;
type Pod = (typeof pods)[number];
/** The other one keeps its connections for HTTP. */
const loads = ["fresh", "kept"] as const;
const address = "10.99.0.10";
const reportPort = "9000";
const strict = { "config.nsm.nginx.com/mtls-mode": "strict" };
const own = { "config.nsm.nginx.com/ignore-incoming-ports": reportPort };
/** Requests a second, of each load. */
const rate = 40;

/** Rotations after which everything that grows once has grown: Lua's memory is then as large as between two collections. */
const warm = 600;
const rotations = 2000;
/** Growth from the one to the other, of a worker, in KiB: 150 bytes a rotation; one certificate has 4 KiB. Measured: 30 to 130. */
const mostAnonymous = 300;
const mostLua = 128;
const mostFiles = 4;

function load(name: (typeof loads)[number], own: string, env: Readonly<Record<string, string>>): BarePod {
  const app = "e2e/apps/load.ts";
  return { name, addresses: [own], app, env: { RATE: String(rate), CONNECTIONS: "2", ...env } };
}

before(async () => {
  mesh = await startBareMesh({
    manifests: manifest(
      deployment("web", { annotations: strict }),
      service("web", "web", [
        { name: "http", port: 80, target: 8080 },
        { name: "tcp", port: 81, target: 8080 },
      ]),
      ...loads.map((name) => deployment(name, { annotations: own })),
    ),
    services: { web: [address] },
    serviceRanges: ["10.99.0.0/24"],
    pods: [
      { name: "web", addresses: ["10.66.0.2"], app: "e2e/apps/echo.ts" },
      load("fresh", "10.66.0.3", { TARGET: `http://${address}:81/`, FRESH: "1" }),
      load("kept", "10.66.0.4", { TARGET: `http://${address}/` }),
    ],
  });
  for (const pod of ["web", ...loads]) {
    await mesh.until(`${pod} is ready`, async () => (await mesh.status(pod)).ready);
  }
  for (const pod of loads) {
    // a connection that was made before its sidecar was ready may hang until its request gives up
    const settled = async (): Promise<boolean> => {
      await report(pod, "POST");
      await sleep(500);
      const { requests, failures } = await report(pod);
      return requests > 5 && failures.length === 0;
    };
    await mesh.until(`requests of ${pod} fail no more`, settled, 40_000);
    await report(pod, "POST");
  }
});

afterEach((context) => {
  if (!(context as TestContext & { readonly passed: boolean }).passed) {
    const ends = pods.map((pod) => `-- ${pod}\n${mesh.log(pod).split("\n").slice(-12).join("\n")}`);
    (context as TestContext).diagnostic(ends.join("\n"));
  }
});

after(() => mesh?.stop());

interface Report {
  readonly requests: number;
  readonly failures: readonly { readonly what: string }[];
}

/** What the load has seen; with POST it begins anew. */
async function report(pod: (typeof loads)[number], method = "GET"): Promise<Report> {
  const { stdout } = await mesh.run(pod, "curl", "-s", "-X", method, `http://127.0.0.1:${reportPort}/`);
  return stdout === "" ? { requests: 0, failures: [] } : (JSON.parse(stdout) as Report);
}

interface Status {
  readonly ready: boolean;
  readonly svid: { readonly updates: number };
  readonly handshakes: { readonly incoming: number; readonly outgoing: number };
  readonly luaMemory: number;
}

const status = async (pod: Pod): Promise<Status> => (await mesh.status(pod)) as unknown as Status;

/** Of a worker; memory in KiB. */
interface Held {
  /** What it has allocated: its own pages, and no files. */
  readonly anonymous: number;
  readonly lua: number;
  readonly files: number;
}

async function heldBy(pod: Pod): Promise<Held> {
  const folder = `/proc/${mesh.worker(pod)}`;
  const rollup = readFileSync(`${folder}/smaps_rollup`, "utf8");
  return {
    lua: (await status(pod)).luaMemory,
    anonymous: Number(/^Anonymous:\s+(\d+)/m.exec(rollup)?.[1]),
    files: readdirSync(`${folder}/fd`).length,
  };
}

/** Rotates until both sidecars have taken that many SVIDs; the least that each held over the last hundred. */
async function rotateTo(updates: number): Promise<Record<Pod, Held>> {
  const held: Record<Pod, Held[]> = { web: [], fresh: [] };
  for (let done = 0; done < updates;) {
    for (let turn = 0; turn < 20; turn += 1) {
      await Promise.all([...pods.map((pod) => mesh.rotate(pod)), sleep(15)]);
    }
    const taken = await Promise.all(pods.map(async (pod) => (await status(pod)).svid.updates));
    assert.ok(Math.min(...taken) > done, `no new SVID was taken after ${taken.join(" and ")}`);
    done = Math.min(...taken);
    if (done > updates - 100) {
      for (const pod of pods) {
        held[pod].push(await heldBy(pod));
      }
    }
  }
  return { web: least(held.web), fresh: least(held.fresh) };
}

/** Memory has what the next collection will free, and a connection more or less. */
function least(all: readonly Held[]): Held {
  const of = (name: keyof Held): number => Math.min(...all.map((each) => each[name]));
  return { anonymous: of("anonymous"), lua: of("lua"), files: of("files") };
}

test("2,000 rotations under traffic: memory and open files as before, no request fails", async (context) => {
  const workers = pods.map((pod) => mesh.worker(pod));
  const first = await rotateTo(warm);
  const before = await status("fresh");
  const last = await rotateTo(warm + rotations);
  const full = (await status("fresh")).handshakes.outgoing - before.handshakes.outgoing;
  for (const pod of pods) {
    const line = (held: Held): string =>
      `${held.anonymous} KiB, of these Lua ${Math.round(held.lua)} KiB, ${held.files} files`;
    context.diagnostic(`${pod}: ${line(first[pod])}; then ${line(last[pod])}`);
  }
  context.diagnostic(`${full} full handshakes`);
  assert.ok(full > 300, `only ${full} full handshakes: traffic went on with old SVIDs`);
  for (const pod of loads) {
    const { requests, failures } = await report(pod);
    context.diagnostic(`${pod}: ${requests} requests`);
    assert.deepEqual(failures.slice(0, 5), [], pod);
    assert.ok(requests > rate * 10, `${pod}: only ${requests} requests`);
  }
  for (const pod of pods) {
    const growth = (name: keyof Held): number => last[pod][name] - first[pod][name];
    assert.ok(growth("anonymous") <= mostAnonymous, `${pod}: memory grew by ${growth("anonymous")} KiB`);
    assert.ok(growth("lua") <= mostLua, `${pod}: Lua's memory grew by ${growth("lua")} KiB`);
    assert.ok(growth("files") <= mostFiles, `${pod}: ${growth("files")} more files are open`);
  }
  assert.deepEqual(
    pods.map((pod) => mesh.worker(pod)),
    workers,
    "a worker ended",
  );
});
