/**
 * nginx as NGINX Ingress Controller configures it for a mesh: SVID and bundle in files, TLS with the name of the Service
 * to its upstreams, and a server for internal routes that asks for certificates. It runs in the network of a pod that
 * only waits, started by the test, so that a test can change what it presents.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PodView } from "../../src/local/control.ts";
import type { TestMesh } from "./mesh.ts";
import { hostProcess } from "./processes.ts";
import type { Pem } from "./svids.ts";

const root = process.env["NGINX_MESH_ROOT"] ?? "/var/cache/nginx-mesh/sidecar-root";

export interface ControllerFiles {
  /** Undefined: it has none. */
  readonly svid: Pem | undefined;
  readonly bundle: string;
}

/** Contents of `http` and `stream`; `svid.pem`, `key.pem` and `bundle.pem` stand in the folder that they are given. */
export interface ControllerConfiguration {
  readonly http: (folder: string) => string;
  readonly stream?: (folder: string) => string;
}

export interface RunningController {
  readonly log: () => string;
  stop(): Promise<void>;
}

/** What the controller writes into each location whose upstream is of the mesh. */
export function upstreamTls(kind: "proxy" | "grpc", folder: string, service: string, svid: boolean): string {
  const own = `${kind}_ssl_certificate ${folder}/svid.pem; ${kind}_ssl_certificate_key ${folder}/key.pem;`;
  return `${svid ? own : ""}
    ${kind}_ssl_trusted_certificate ${folder}/bundle.pem;
    ${kind}_ssl_server_name on;
    ${kind}_ssl_verify on;
    ${kind}_ssl_verify_depth 25;
    ${kind}_ssl_name ${service};`;
}

function configuration(folder: string, { http, stream }: ControllerConfiguration): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n");
  return `load_module ${root}/usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr info;
events {}
http {
${temporary}
access_log off;
${http(folder)}
}
${stream === undefined ? "" : `stream {\n${stream(folder)}\n}`}
`;
}

/** nginx of the sidecars' root, with that root's own loader and libraries: the host's may be older. */
function command(path: string): readonly string[] {
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  const loader = `${root}/usr/lib64/ld-linux-x86-64.so.2`;
  return [loader, "--library-path", libraries, `${root}/usr/sbin/nginx`, "-e", "stderr", "-c", path];
}

/** Of the container that waits; a pod without probes is ready before its process is known. */
async function processOf(mesh: TestMesh, { name }: PodView): Promise<number> {
  let found: number | undefined;
  await mesh.until(`a process in pod ${name}`, ({ pods }) => {
    found = pods.find((pod) => pod.name === name)?.containers[0]?.pid;
    return found !== undefined;
  });
  return found!;
}

/** Resolves when it listens. */
export async function startController(
  mesh: TestMesh,
  pod: PodView,
  files: ControllerFiles,
  wanted: ControllerConfiguration,
): Promise<RunningController> {
  const folder = mkdtempSync(join(tmpdir(), "nm-controller-"));
  writeFileSync(join(folder, "svid.pem"), files.svid?.cert ?? "");
  writeFileSync(join(folder, "key.pem"), files.svid?.key ?? "", { mode: 0o600 });
  writeFileSync(join(folder, "bundle.pem"), files.bundle);
  const path = join(folder, "nginx.conf");
  writeFileSync(path, configuration(folder, wanted));
  const inside = String(hostProcess(mesh, await processOf(mesh, pod)).pid);
  const child = spawn("nsenter", ["--net", "--target", inside, "--", ...command(path)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ended = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  for (let waited = 0; !/start worker process \d/.test(log); waited += 20) {
    if (child.exitCode !== null || waited > 10_000) {
      await stop();
      throw new Error(`the ingress controller in ${pod.name} does not start: ${log}`);
    }
    await sleep(20);
  }
  return { log: () => log, stop };
}
