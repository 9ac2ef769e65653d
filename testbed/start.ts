/** Brings a cluster up, step by step; what is there already is left as it is. */
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { addons, volumeFolder, volumesPerNode } from "./addons.ts";
import { makeBed, openBed, readRecord, removeBed, type Bed } from "./bed.ts";
import { makeCgroups } from "./cgroups.ts";
import { writeCertificates } from "./certificates.ts";
import { BedError } from "./errors.ts";
import { buildImages, type Archive } from "./images.ts";
import { kubeconfig, nodeFiles, type ProxyMode } from "./node-files.ts";
import { containerd, etcd, apiServer, inside, nodeParts, planeParts, kubelet } from "./parts.ts";
import { freeNumber, registry, type Layout, type NodePlan } from "./plan.ts";
import { ensureRunning, until } from "./processes.ts";
import { buildPrograms, moduleNames, type Programs } from "./programs.ts";
import { say, step } from "./progress.ts";
import { attempt, run } from "./run.ts";

export interface Settings {
  readonly checkout: string;
  readonly cache: string;
  readonly layout: Layout;
  readonly nodes: number;
  readonly proxyMode: ProxyMode;
}

/** A cluster with all nodes ready. Throws BedError that names the step, the part and its log. */
export async function up(settings: Settings): Promise<Bed> {
  const { layout } = settings;
  const programs = await programsOf(settings);
  const archives = [...bedImages(settings, programs), ...meshImages(settings.checkout)];
  const bed = await openOrMake(settings);
  linkPrograms(layout, programs);
  await startPlane(bed, programs);
  await startNodes(bed, programs, archives);
  await startAddons(bed, programs);
  return bed;
}

/** Builds what has not been built yet. */
export function programsOf({ checkout, cache }: Settings): Promise<Programs> {
  return buildPrograms({
    source: join(checkout, "testbed/go"),
    cache,
    wanted: moduleNames,
    onBuild: (name) => say("build", `${name} (once; kept in ${cache})`),
  });
}

function bedImages(settings: Settings, programs: Programs): readonly Archive[] {
  return buildImages({
    programs,
    cache: settings.cache,
    pause: join(settings.checkout, "testbed/pause/pause.c"),
    sidecarRoot: realpathSync(join(settings.cache, "sidecar-root")),
    onBuild: (name) => say("image", name),
  });
}

/** The mesh's own images, when they have been made. */
function meshImages(checkout: string): readonly Archive[] {
  const folder = join(checkout, "build/images");
  if (!existsSync(folder)) {
    return [];
  }
  const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string };
  const names = readdirSync(folder).filter((name) => name.endsWith(".tar"));
  return names.map((name) => ({
    reference: `${registry}/${name.replace(/\.tar$/, "")}:${version}`,
    file: join(folder, name),
  }));
}

async function openOrMake(settings: Settings): Promise<Bed> {
  const { layout } = settings;
  const found = readRecord(layout);
  if (found.kind === "alive") {
    return openBed(layout, found.record);
  }
  if (found.kind === "dead") {
    say("bed", "clearing away what is left of one that ended");
    await removeBed(layout);
  }
  const routes = JSON.parse(await run(["ip", "-j", "-4", "route", "show", "table", "all"])) as {
    dst: string;
  }[];
  const number = freeNumber(routes.map((route) => route.dst));
  if (number === undefined) {
    throw new BedError(
      "no free address range among 10.128.0.0/16 to 10.191.0.0/16: all overlap routes of this host",
    );
  }
  const { nodes, proxyMode } = settings;
  return step("bed", `namespaces of ${nodes} nodes, 10.${number}.0.0/16`, async () => {
    const bed = await makeBed(layout, { number, nodes, proxyMode });
    makeCgroups(layout, bed.plan.nodes);
    await writeFiles(bed);
    return bed;
  });
}

async function writeFiles({ layout, plan, record }: Bed): Promise<void> {
  await writeCertificates(layout.certificates, plan);
  const users = [
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    ...plan.nodes.map((node) => node.name),
  ];
  for (const user of users) {
    const file = join(layout.certificates, `${user}.kubeconfig`);
    writeFileSync(file, kubeconfig(plan, inside.certificates, user));
  }
  writeFileSync(layout.kubeconfig, kubeconfig(plan, layout.certificates, "admin"), { mode: 0o600 });
  for (const node of plan.nodes) {
    for (const [name, content] of Object.entries(nodeFiles(plan, node, layout, record.proxyMode))) {
      writeFileSync(join(layout.node(node.name), name), content);
    }
    for (let at = 0; at < volumesPerNode; at++) {
      // volumeFolder is below /var/lib, which is the node's own
      const folder = join(layout.node(node.name), "lib", volumeFolder.slice("/var/lib/".length), String(at));
      mkdirSync(folder, { recursive: true });
    }
  }
}

/** One folder for PATH: kubectl, helm and the rest. */
function linkPrograms(layout: Layout, programs: Programs): void {
  writeFileSync(join(layout.state, "path"), `${programs.folders.join(":")}\n`);
}

/** kubectl as the administrator of the bed. */
function kubectl(bed: Bed, programs: Programs): readonly string[] {
  return [programs.path("kubectl"), "--kubeconfig", bed.layout.kubeconfig, "--request-timeout=20s"];
}

async function startPlane(bed: Bed, programs: Programs): Promise<void> {
  const parts = planeParts(bed.plan);
  await step("control", "etcd, kube-apiserver, kube-controller-manager, kube-scheduler", async () => {
    await ensureRunning(bed, etcd(), programs);
    await ensureRunning(bed, apiServer(bed.plan), programs);
    await until(bed, {
      what: "kube-apiserver ready",
      seconds: 90,
      parts: [apiServer(bed.plan), etcd()],
      check: async () => {
        const answer = await attempt([...kubectl(bed, programs), "get", "--raw", "/readyz"]);
        return answer.status === 0 ? undefined : answer.errors.trim().slice(-300);
      },
    });
    for (const part of parts) {
      await ensureRunning(bed, part, programs);
    }
  });
}

async function startNodes(bed: Bed, programs: Programs, archives: readonly Archive[]): Promise<void> {
  const { nodes } = bed.plan;
  await step(
    "nodes",
    `containerd and ${archives.length} images on ${nodes.map((node) => node.name).join(", ")}`,
    async () => {
      for (const node of nodes) {
        await ensureRunning(bed, containerd(node), programs);
      }
      for (const node of nodes) {
        await importImages(bed, node, programs, archives);
      }
    },
  );
  await step("nodes", "kubelet and kube-proxy, until the nodes are ready", async () => {
    for (const part of nodeParts(bed.plan)) {
      await ensureRunning(bed, part, programs);
    }
    await until(bed, {
      what: "nodes ready",
      seconds: 90,
      parts: [...nodes.map(kubelet), ...nodeParts(bed.plan)],
      check: () => conditionMissing(bed, programs, ["nodes", "--all"], "Ready", nodes.length),
    });
  });
}

/** Undefined when at least `count` of the objects have the condition. */
async function conditionMissing(
  bed: Bed,
  programs: Programs,
  objects: readonly string[],
  condition: string,
  count: number,
): Promise<string | undefined> {
  const args = objects.filter((word) => word !== "--all");
  const path = `{range .items[*]}{.status.conditions[?(@.type=="${condition}")].status}{" "}{end}`;
  const answer = await attempt([...kubectl(bed, programs), "get", ...args, "-o", `jsonpath=${path}`]);
  const ready = answer.output.split(" ").filter((status) => status === "True").length;
  return answer.status === 0 && ready >= count
    ? undefined
    : `${ready} of ${count} ${answer.errors.trim().slice(-200)}`;
}

/** Imports what this node does not have, or has with other content. */
async function importImages(
  bed: Bed,
  node: NodePlan,
  programs: Programs,
  archives: readonly Archive[],
): Promise<void> {
  const file = join(bed.layout.node(node.name), "images.json");
  const known = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, string>) : {};
  const ctr = [...bed.enter(node), programs.path("ctr"), "--namespace", "k8s.io", "images"];
  await until(bed, {
    what: `containerd of ${node.name} ready`,
    seconds: 60,
    parts: [containerd(node)],
    check: async () => {
      const answer = await attempt([...ctr, "list", "-q"]);
      return answer.status === 0 ? undefined : answer.errors.trim().slice(-300);
    },
  });
  for (const archive of archives) {
    const digest = createHash("sha256").update(readFileSync(archive.file)).digest("hex");
    if (known[archive.reference] === digest) {
      continue;
    }
    // by standard input: the node does not see every folder of the host
    await run(["sh", "-ec", 'exec "$@" <"$0"', archive.file, ...ctr, "import", "-"], { timeout: 300_000 });
    const plain = archive.reference.slice(registry.length + 1);
    if (plain.startsWith("nginx-mesh-")) {
      await run([...ctr, "tag", "--force", plain, archive.reference]);
      // a name without a registry is none to the kubelet, which would look for it at Docker's
      await run([...ctr, "rm", plain]);
    }
    await run([...ctr, "tag", "--force", archive.reference, publicName(plain)]);
    known[archive.reference] = digest;
    writeFileSync(file, JSON.stringify(known, undefined, 2));
  }
}

/** The name of the image where it is published: the chart's defaults work too. */
function publicName(plain: string): string {
  return plain.startsWith("spire-") ? `ghcr.io/spiffe/${plain}` : `docker.io/library/${plain}`;
}

async function startAddons(bed: Bed, programs: Programs): Promise<void> {
  await step("addons", "CoreDNS, volumes", async () => {
    // the server validates, too
    const apply = ["apply", "--server-side", "--force-conflicts", "--validate=false", "-f", "-"];
    await run([...kubectl(bed, programs), ...apply], { input: addons(bed.plan) });
    await until(bed, {
      what: "CoreDNS ready",
      seconds: 90,
      parts: bed.plan.nodes.map(kubelet),
      check: () =>
        conditionMissing(
          bed,
          programs,
          ["pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns"],
          "Ready",
          Math.min(2, bed.plan.nodes.length),
        ),
      detail: async () => {
        const inSystem = [...kubectl(bed, programs), "--namespace=kube-system"];
        const pods = await attempt([...inSystem, "get", "pods", "--output=wide"]);
        const logs = await attempt([
          ...inSystem,
          "logs",
          "--selector=k8s-app=kube-dns",
          "--tail=10",
          "--prefix",
        ]);
        const more = bed.plan.nodes.map((node) => bed.layout.log(kubelet(node).name)).join(", ");
        return `${pods.output}${logs.output}${logs.errors}The kubelets' logs are ${more}.`;
      },
    });
  });
}
