/**
 * The demo: brings the example shop up in a mesh on this machine, shows its traffic, shifts the weights of a split while
 * the traffic runs, and says whether everything was as it must be. `--keep` leaves the mesh running.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { layoutOf } from "../src/local/layout.ts";
import {
  exchanges,
  faultsOfMesh,
  faultsOfTraffic,
  type Share,
  shareOf,
  shareText,
  trafficTable,
  type Weights,
} from "./demo/figures.ts";
import { createMesh, type DemoMesh } from "./demo/mesh.ts";
import { read, type Reading, readPods, type Report, statisticsWindow } from "./demo/readings.ts";
import { createScreen, type Screen } from "./demo/screen.ts";
import { copyShop, type ShopCopy } from "./demo/shop-copy.ts";

const phases: readonly Weights[] = [
  { v1: 90, v2: 10 },
  { v1: 50, v2: 50 },
  { v1: 0, v2: 100 },
];
const phaseSeconds = 8;
/** After a change of the weights, answers are not counted for so long: requests in flight still follow the old ones. */
const settleMilliseconds = 500;

interface Course {
  /** Milliseconds since 1970. */
  readonly begin: number;
  readonly shares: Share[];
  readonly faults: Set<string>;
  readonly first: Report;
  last: Report;
}

/** One set of weights: shows the traffic and takes the share. */
async function phase(screen: Screen, state: string, course: Course, weights: Weights): Promise<void> {
  await sleep(settleMilliseconds);
  let reading = await read(state);
  const before = reading.report;
  for (let second = 1; second <= phaseSeconds; second++) {
    await sleep(1000);
    reading = await read(state);
    const share = shareOf(weights, before, reading.report);
    screen.show(`${trafficTable(reading.traffic)}\ncatalog split: ${shareText(share)}`);
    judge(course, reading);
  }
  const share = shareOf(weights, before, reading.report);
  course.shares.push(share);
  course.last = reading.report;
  if (!share.ok) {
    course.faults.add(`the split is wrong: ${shareText(share)}`);
  }
}

/** The statistics reach back to when the services were still starting, so they count when that has left the window. */
function judge(course: Course, reading: Reading): void {
  if (Date.now() - course.begin > (statisticsWindow + 2) * 1000) {
    faultsOfMesh(reading.traffic).forEach((fault) => course.faults.add(fault));
  }
}

async function watchTraffic(screen: Screen, state: string, shop: ShopCopy): Promise<Course> {
  const { report } = await read(state);
  const course: Course = { begin: Date.now(), shares: [], faults: new Set(), first: report, last: report };
  for (const [i, weights] of phases.entries()) {
    if (i > 0) {
      shop.setWeights(weights);
      screen.say(`The catalog's weights are now ${weights.v1}:${weights.v2}, changed in ${shop.split}`);
    }
    await phase(screen, state, course, weights);
  }
  faultsOfTraffic(course.first, course.last).forEach((fault) => course.faults.add(fault));
  return course;
}

function summary(state: string, course: Course): string {
  const seconds = Math.round((Date.now() - course.begin) / 1000);
  const { total, failed } = exchanges(course.first, course.last);
  const pods = readPods(state);
  const meshed = pods.filter((pod) => pod.meshed).length;
  const lines = [
    `${pods.length} pods, ${meshed} with a sidecar; ${total} exchanges of clients in ${seconds} s, each answer verified: ${failed} failed`,
    ...course.shares.map((share) => `split: ${shareText(share)}${share.ok ? "" : "  WRONG"}`),
    ...[...course.faults].map((fault) => `WRONG: ${fault}`),
    course.faults.size === 0 ? "Everything was as it must be." : `${course.faults.size} things were wrong.`,
  ];
  return `\n${lines.join("\n")}`;
}

function howToGoOn(shop: ShopCopy, meshName: string): string {
  return `
The mesh goes on. Look at it:
  bin/nginx-meshctl --mesh ${meshName} status
  bin/nginx-meshctl --mesh ${meshName} -n shop top
  bin/nginx-meshctl --mesh ${meshName} -n shop top deploy/web
Change its manifests in ${shop.manifests}, as the weights in catalog-split.yaml.
Stop it:
  bin/nginx-meshctl local down --name ${meshName} && rm -r ${shop.folder}`;
}

/** Resolves to the exit status. */
async function demo(screen: Screen, shop: ShopCopy, mesh: DemoMesh): Promise<number> {
  screen.say(
    "Starting the shop: nine workloads that speak HTTP, gRPC, WebSocket, redis, NATS and plain TCP.",
  );
  const status = await mesh.up(shop.manifests);
  if (status !== 0) {
    throw new Error(
      `the mesh did not start; its state is in ${mesh.state}, its log is ${layoutOf(mesh.state).log}`,
    );
  }
  screen.say(
    `Traffic runs. The table shows the last ${statisticsWindow} s as the sidecars counted them; for TCP, connections and how long they lasted.`,
  );
  const course = await watchTraffic(screen, mesh.state, shop);
  screen.end();
  screen.say(summary(mesh.state, course));
  return course.faults.size === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const keep = process.argv.includes("--keep");
  const screen = createScreen(process.stdout);
  const mesh = createMesh();
  const shop = copyShop(join(import.meta.dirname, "../examples/shop"));
  const clean = async (): Promise<void> => {
    await mesh.down();
    shop.remove();
  };
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      stopping = true;
      screen.end();
      screen.say("\nStopping.");
      void clean().finally(() => process.exit(signal === "SIGINT" ? 130 : 143));
    });
  }
  try {
    const status = await demo(screen, shop, mesh);
    if (keep) {
      screen.say(howToGoOn(shop, mesh.name));
    } else {
      await clean();
    }
    return status;
  } catch (error) {
    if (stopping) {
      return 1;
    }
    screen.end();
    screen.say(`demo: ${error instanceof Error ? error.message : String(error)}`);
    await clean().catch((reason: unknown) => screen.say(`demo: ${String(reason)}`));
    return 1;
  }
}

process.exitCode = await main();
