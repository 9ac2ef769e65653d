/**
 * Real sidecars without local mode's engine: pods with the addresses that a test gives them, of one family or both,
 * with NATS, the controller and the built-in authority. For what local mode has not: IPv6, and NATS by name.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { isIPv6 } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { captureRules } from "../../src/inject/capture.ts";
import { openAuthority } from "../../src/identity/authority.ts";
import { keepNatsServerFiles } from "../../src/identity/nats-server-files.ts";
import { serveWorkloadApi } from "../../src/identity/workload-api.ts";
import { launcherIn, natsLaunch, sidecarLaunch, type Launch } from "../../src/local/launch.ts";
import { controllerServiceAccount, ports, sidecarUser, spiffeId } from "../../src/wire/sidecar.ts";

const root = join(import.meta.dirname, "../..");
const trustDomain = "example.org";
export const gateway = { v4: "10.66.0.1", v6: "fd66::1" } as const;
const natsPort = 4222;
const diesWithUs = ["setpriv", "--pdeathsig", "KILL"];

function namespacePath(number: number): string {
  return `/run/netns/p${number}`;
}

export interface BarePod {
  /** Also the name of its deployment and service account. */
  readonly name: string;
  /** Of 10.66.0.0/24 and fd66::/64. */
  readonly addresses: readonly string[];
  readonly meshed?: boolean;
  /** Application, a program below test/ with its environment; absent: none. */
  readonly app?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** More of the sidecar's environment. */
  readonly sidecarEnv?: Readonly<Record<string, string>>;
}

export interface BareOptions {
  readonly manifests: string;
  readonly pods: readonly BarePod[];
  /** Cluster addresses by Service. */
  readonly services: Readonly<Record<string, readonly string[]>>;
  /** Of the Service addresses. */
  readonly serviceRanges: readonly string[];
  /** MESH_NATS; default: the gateway's address, in the family of the pod's first one. */
  readonly nats?: string;
  /** The sidecars' /etc/resolv.conf. */
  readonly resolvConf?: string;
  /** Folder of this machine that the sidecars see as /mnt. */
  readonly mnt?: string;
  /** What the sidecars run; default: what was built. */
  readonly sidecarProgram?: string;
}

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface BareMesh {
  /** Runs a program in a pod's network. */
  run(pod: string, program: string, ...args: readonly string[]): Promise<Ended>;
  /** Starts one beside NATS, on the gateway; resolves when it has written a line. */
  startOnNode(...command: readonly string[]): Promise<ChildProcess>;
  /** Body of the sidecar's own port 8886, asked in its pod. */
  status(pod: string): Promise<{ readonly ready: boolean; readonly [name: string]: unknown }>;
  until(what: string, satisfied: () => Promise<boolean>, milliseconds?: number): Promise<void>;
  log(pod: string): string;
  /** Issues a new SVID and sends it to the pod's sidecar. */
  rotate(pod: string): Promise<void>;
  /** Process of the sidecar's first nginx worker, as this machine numbers it. */
  worker(pod: string): number;
  restartNats(): Promise<void>;
  signalNats(signal: NodeJS.Signals): void;
  /** Sends the signal to the sidecar's master and resolves when it has ended. */
  endSidecar(pod: string, signal: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

function runIn(namespace: number, program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const all = [`--net=${namespacePath(namespace)}`, "--", program, ...args];
    execFile("nsenter", all, { timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}

/** Lines for `ip`, in the namespace or, with undefined, the host's. */
function ip(namespace: number | undefined, ...lines: readonly string[]): void {
  const where = namespace === undefined ? [] : ["-n", `p${namespace}`];
  execFileSync("ip", [...where, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

function withPrefix(address: string): string {
  return isIPv6(address) ? `${address}/64 dev eth0 nodad` : `${address}/24 dev eth0`;
}

function makePodNetwork(node: number, number: number, pod: BarePod): void {
  ip(undefined, `netns add p${number}`);
  ip(undefined, `link add v${number} netns p${node} type veth peer name eth0 netns p${number}`);
  ip(node, `link set v${number} master mesh0 up`);
  const families = new Set(pod.addresses.map((address) => (isIPv6(address) ? "-6" : "-4")));
  ip(
    number,
    "link set lo up",
    ...pod.addresses.map((each) => `addr add ${withPrefix(each)}`),
    "link set eth0 up",
  );
  for (const family of families) {
    const via = family === "-6" ? gateway.v6 : gateway.v4;
    execFileSync("ip", ["-n", `p${number}`, family, "route", "add", "default", "via", via]);
  }
  if (pod.meshed !== false) {
    for (const [program, ipv6] of [
      ["iptables-restore", false],
      ["ip6tables-restore", true],
    ] as const) {
      const input = captureRules({ ignoreIncomingPorts: [], ignoreOutgoingPorts: [], ipv6 });
      execFileSync("nsenter", [`--net=${namespacePath(number)}`, program, "--noflush"], { input });
    }
  }
}

/** The node with its bridge, and a namespace for each pod whose rules capture both families. */
function makeNetwork(node: number, pods: readonly BarePod[]): void {
  ip(undefined, `netns add p${node}`);
  ip(
    node,
    "link set lo up",
    "link add mesh0 address 02:6e:67:78:00:02 type bridge",
    `addr add ${gateway.v4}/24 dev mesh0`,
    `addr add ${gateway.v6}/64 dev mesh0 nodad`,
    "link set mesh0 up",
  );
  pods.forEach((pod, index) => makePodNetwork(node, node + 1 + index, pod));
}

/** What local mode's engine would tell the controller. */
function statusOf(options: BareOptions): string {
  return JSON.stringify({
    version: 1,
    serviceRanges: options.serviceRanges,
    services: Object.entries(options.services).map(([name, addresses]) => ({
      namespace: "default",
      name,
      addresses,
    })),
    pods: options.pods.map(({ name, addresses, meshed }) => ({
      namespace: "default",
      name,
      uid: name,
      labels: { app: name },
      annotations: {},
      owner: { kind: "deployment", name },
      serviceAccount: name,
      address: addresses[0],
      ready: true,
      terminating: false,
      meshed: meshed !== false,
      ports: [],
    })),
  });
}

function sidecarOf(pod: BarePod, number: number, folder: string, options: BareOptions): Launch {
  const launch = sidecarLaunch({
    launcher: launcherIn(root),
    network: namespacePath(number),
    root: `${process.env["NGINX_MESH_CACHE"] ?? "/var/cache/nginx-mesh"}/sidecar-root`,
    scratch: join(folder, "root"),
    programFolder: options.sidecarProgram ?? join(root, "build/sidecar"),
    identityFolder: join(folder, pod.name),
    podName: pod.name,
    podNamespace: "default",
    podAddress: pod.addresses[0]!,
    serviceAccount: pod.name,
    workload: `deployment/${pod.name}`,
    trustDomain,
    nats: options.nats ?? `${isIPv6(pod.addresses[0]!) ? `[${gateway.v6}]` : gateway.v4}:${natsPort}`,
  });
  const at = launch.args.indexOf("--tmpfs");
  const files = [
    "--bind",
    `${join(folder, "resolv.conf")}:/etc/resolv.conf`,
    ...(options.mnt === undefined ? [] : ["--bind", `${options.mnt}:/mnt`]),
  ];
  return {
    ...launch,
    args: [...launch.args.slice(0, at), ...files, ...launch.args.slice(at)],
    environment: { ...launch.environment, ...pod.sidecarEnv },
  };
}

/** The worker of the nginx that this process is, or began. */
function workerBelow(pid: number): number {
  for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)) {
    const title = readFileSync(`/proc/${child}/cmdline`, "utf8");
    return title.startsWith("nginx: worker") ? Number(child) : workerBelow(Number(child));
  }
  throw new Error(`process ${pid} has no nginx worker`);
}

/** By its last digits the process that a namespace is of is found again. */
const processes = 100_000;
const firstNumber = 1_000_000;
let meshes = 0;

/** What tests have left that were killed: their processes end with them. */
function removeLeftOver(): void {
  const alive = new Set(readdirSync("/proc").map((name) => Number(name) % processes));
  const namespaces = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  for (const name of namespaces.filter((each) => /^p\d{7,}$/.test(each))) {
    if (!alive.has(Math.floor((Number(name.slice(1)) - firstNumber) / 100))) {
      try {
        ip(undefined, `netns delete ${name}`);
      } catch {
        // another test file was quicker
      }
    }
  }
  for (const name of readdirSync(tmpdir())) {
    const owner = /^bare-(\d+)-/.exec(name)?.[1];
    if (owner !== undefined && !alive.has(Number(owner) % processes)) {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}

/** Everything runs when this resolves, but no sidecar need be ready. */
export async function startBareMesh(options: BareOptions): Promise<BareMesh> {
  meshes += 1;
  removeLeftOver();
  const node = firstNumber + (process.pid % processes) * 100 + meshes * 20;
  const numberOf = (pod: string): number => node + 1 + options.pods.findIndex(({ name }) => name === pod);
  const folder = mkdtempSync(join(tmpdir(), `bare-${process.pid}-`));
  const children: ChildProcess[] = [];
  const sidecars = new Map<string, ChildProcess>();
  const start = (namespace: number, launch: Launch, log: string): ChildProcess => {
    const file = openSync(join(folder, `${log}.log`), "a");
    const child = spawn(
      "nsenter",
      [`--net=${namespacePath(namespace)}`, "--", ...diesWithUs, launch.program, ...launch.args],
      {
        env: { ...launch.environment },
        stdio: ["ignore", file, file],
      },
    );
    closeSync(file);
    children.push(child);
    return child;
  };
  const end = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 3000);
      await ended;
      clearTimeout(timer);
    }
  };

  for (const part of ["manifests", "root", "controller", ...options.pods.map(({ name }) => name)]) {
    mkdirSync(join(folder, part));
  }
  writeFileSync(join(folder, "manifests/all.yaml"), options.manifests);
  writeFileSync(join(folder, "status.json"), statusOf(options));
  writeFileSync(join(folder, "resolv.conf"), options.resolvConf ?? "");
  makeNetwork(node, options.pods);
  const authority = await openAuthority({
    directory: join(folder, "ca"),
    trustDomain,
    caKeyType: "ec-p256",
    caTtlSeconds: 86_400,
  });
  const serveIdentity = (name: string, identity: string, owner: number) =>
    serveWorkloadApi({
      socketPath: join(folder, name, "agent.sock"),
      owner: { uid: owner, gid: owner },
      identity,
      authority,
      svidTtlSeconds: 3600,
    });
  const controllerIdentity = spiffeId(trustDomain, "nginx-mesh", controllerServiceAccount);
  const identities = new Map([["controller", await serveIdentity("controller", controllerIdentity, 0)]]);
  const files = await keepNatsServerFiles({
    directory: join(folder, "nats"),
    authority,
    svidTtlSeconds: 3600,
    server: { listenHost: "::", port: natsPort, storeDirectory: join(folder, "nats/store") },
    serviceAccounts: options.pods.map(({ name }) => ({ namespace: "default", name })),
    onChanged: () => undefined,
  });
  const sidecarRoot = `${process.env["NGINX_MESH_CACHE"] ?? "/var/cache/nginx-mesh"}/sidecar-root`;
  const startNats = (): ChildProcess =>
    start(node, natsLaunch(launcherIn(root), sidecarRoot, files.configurationFile), "nats");
  let nats = startNats();
  const flags = {
    manifests: join(folder, "manifests"),
    status: join(folder, "status.json"),
    nats: `${gateway.v4}:${natsPort}`,
    "workload-api": join(folder, "controller/agent.sock"),
    "trust-domain": trustDomain,
    listen: join(folder, "controller.sock"),
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const environment = { PATH: process.env["PATH"] ?? "" };
  start(
    node,
    { program: process.execPath, args: [join(root, "build/controller.mjs"), ...args], environment },
    "controller",
  );
  for (const pod of options.pods) {
    const number = numberOf(pod.name);
    if (pod.meshed !== false) {
      const identity = spiffeId(trustDomain, "default", pod.name);
      identities.set(pod.name, await serveIdentity(pod.name, identity, sidecarUser));
      sidecars.set(pod.name, start(number, sidecarOf(pod, number, folder, options), pod.name));
    }
    if (pod.app !== undefined) {
      const program = join(root, "test", pod.app);
      const env = { ...environment, HOSTNAME: pod.name, LISTEN: "::", ...pod.env };
      start(number, { program: process.execPath, args: [program], environment: env }, `${pod.name}-app`);
    }
  }
  const mesh: BareMesh = {
    run: (pod, program, ...rest) => runIn(numberOf(pod), program, rest),
    startOnNode(...command) {
      const child = spawn("nsenter", [`--net=${namespacePath(node)}`, "--", ...diesWithUs, ...command], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      children.push(child);
      return new Promise((resolve, reject) => {
        child.stdout.once("data", () => resolve(child));
        child.once("exit", (status) => reject(new Error(`${command.join(" ")} ended with status ${status}`)));
      });
    },
    async status(pod) {
      const { stdout } = await mesh.run(pod, "curl", "-s", `http://127.0.0.1:${ports.status}/`);
      return stdout === "" ? { ready: false } : (JSON.parse(stdout) as { ready: boolean });
    },
    async until(what, satisfied, milliseconds = 15_000) {
      const last = Date.now() + milliseconds;
      while (!(await satisfied())) {
        if (Date.now() > last) {
          const logs = [...options.pods.map(({ name }) => name), "controller", "nats"];
          const ends = logs.map((name) => `-- ${name}\n${mesh.log(name).split("\n").slice(-8).join("\n")}`);
          throw new Error(`not so after ${milliseconds / 1000} s: ${what}\n${ends.join("\n")}`);
        }
        await sleep(30);
      }
    },
    log(pod) {
      try {
        return readFileSync(join(folder, `${pod}.log`), "utf8");
      } catch {
        return "";
      }
    },
    async rotate(pod) {
      await identities.get(pod)!.rotateNow();
    },
    worker: (pod) => workerBelow(sidecars.get(pod)!.pid!),
    async restartNats() {
      await end(nats);
      nats = startNats();
    },
    signalNats(signal) {
      nats.kill(signal);
    },
    async endSidecar(pod, signal) {
      const child = sidecars.get(pod)!;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill(signal);
      await ended;
    },
    async stop() {
      await Promise.all(children.map(end));
      await Promise.all([...identities.values()].map((identity) => identity.close()));
      await files.close();
      await authority.close();
      for (let number = node + options.pods.length; number >= node; number -= 1) {
        ip(undefined, `netns delete p${number}`);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return mesh;
}
