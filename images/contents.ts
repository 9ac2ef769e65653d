/** What is in which image. */
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { environment, initProgram, paths, ports, sidecarUser } from "../src/wire/sidecar.ts";
import type { ImageConfig, Layer } from "./oci.ts";
import { withFolders, type DebianRoot } from "./root.ts";
import type { TarEntry } from "../src/cli/tar.ts";

export interface Inputs {
  readonly root: DebianRoot;
  /** The `build` folder. */
  readonly build: string;
  readonly node: string;
  readonly nodeLicense: string;
  readonly version: string;
}

export interface ImageContents {
  readonly config: ImageConfig;
  readonly layers: readonly Layer[];
}

/** User of the controller, which needs no privilege; not the sidecar's, whose traffic is not captured. */
const controllerUser = 65532;
const loader = "/usr/lib64/ld-linux-x86-64.so.2";

const programs = {
  base: [loader, "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libm.so.6"],
  sidecar: [
    "/usr/sbin/nginx",
    "/usr/lib/nginx/modules/ndk_http_module.so",
    "/usr/lib/nginx/modules/ngx_http_lua_module.so",
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/share/lua/5.1",
    "/usr/lib/x86_64-linux-gnu/lua/5.1",
    "/etc/ssl/openssl.cnf",
  ],
  init: [
    "/usr/sbin/xtables-nft-multi",
    "/usr/sbin/xtables-legacy-multi",
    "/usr/lib/x86_64-linux-gnu/xtables",
  ],
  controller: [
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/usr/lib/x86_64-linux-gnu/libdl.so.2",
    "/usr/lib/x86_64-linux-gnu/libpthread.so.0",
  ],
} as const;

export function imagesOf(inputs: Inputs): readonly ImageContents[] {
  return [sidecar(inputs), init(inputs), controller(inputs)];
}

function sidecar(inputs: Inputs): ImageContents {
  const program = paths.program.slice(1);
  return {
    config: {
      ...common(inputs, "nginx-mesh-sidecar", "The sidecar: nginx with the mesh's module and logic"),
      user: `${sidecarUser}:${sidecarUser}`,
      entrypoint: [
        "/usr/sbin/nginx",
        "-e",
        "stderr",
        "-c",
        `${paths.program}/nginx.conf`,
        "-g",
        "daemon off;",
      ],
      environment: [`${environment.trustDomain}=example.org`],
      exposedPorts: [
        ports.outgoing,
        ports.incoming,
        ports.status,
        ports.metrics,
        ports.httpProbes,
        ports.httpsProbes,
      ],
      // what is under way is finished; SIGTERM would break it off
      stopSignal: "SIGQUIT",
    },
    layers: [
      base(inputs),
      { title: "nginx, LuaJIT, OpenSSL", entries: fromRoot(inputs, programs.sidecar) },
      {
        title: "nginx-mesh sidecar",
        entries: withFolders([
          ...filesOf(join(inputs.build, "sidecar"), program),
          folder(paths.runtime.slice(1), sidecarUser),
          folder(paths.workloadApi.slice(1, paths.workloadApi.lastIndexOf("/"))),
          folder("var/log/nginx", sidecarUser),
          folder("var/lib/nginx", sidecarUser),
        ]),
      },
    ],
  };
}

/** Applies capture rules, and waits for the sidecar. Needs NET_ADMIN and so root. */
function init(inputs: Inputs): ImageContents {
  const links = (target: string, names: readonly string[]): readonly TarEntry[] =>
    names.map((name) => ({ type: "link", path: `usr/sbin/${name}`, target }));
  return {
    config: {
      ...common(inputs, "nginx-mesh-init", "Applies the capture rules of a pod with iptables-restore"),
      user: "0:0",
      entrypoint: ["/usr/sbin/iptables-restore"],
      environment: [],
      exposedPorts: [],
    },
    layers: [
      base(inputs),
      {
        title: "iptables",
        entries: withFolders([
          ...fromRoot(inputs, programs.init),
          executable(initProgram.slice(1), join(inputs.build, "nginx-mesh-init")),
          ...links("xtables-nft-multi", ["iptables-restore", "ip6tables-restore"]),
          ...links("xtables-legacy-multi", ["iptables-legacy-restore", "ip6tables-legacy-restore"]),
          folder("run"),
        ]),
      },
    ],
  };
}

function controller(inputs: Inputs): ImageContents {
  const file = (path: string, from: string): TarEntry => ({
    type: "file",
    path,
    mode: 0o444,
    content: readFileSync(from),
  });
  // without comments on licences in what is bundled there is no file of them
  const bundle = ["controller", "kubernetes-controller", "nats-files"]
    .flatMap((name) => [`${name}.mjs`, `${name}.mjs.LEGAL.txt`, `${name}.mjs.map`])
    .filter((name) => existsSync(join(inputs.build, name)));
  return {
    config: {
      ...common(inputs, "nginx-mesh-controller", "The control plane"),
      user: `${controllerUser}:${controllerUser}`,
      entrypoint: [
        "/usr/bin/node",
        "--max-semi-space-size=1",
        "--enable-source-maps",
        "/usr/share/nginx-mesh/controller.mjs",
      ],
      environment: ["NODE_ENV=production"],
      exposedPorts: [],
    },
    layers: [
      base(inputs),
      {
        title: "Node",
        entries: withFolders([
          ...fromRoot(inputs, programs.controller),
          executable("usr/bin/node", inputs.node),
          file("usr/share/doc/node/copyright", inputs.nodeLicense),
        ]),
      },
      {
        title: "nginx-mesh controller",
        entries: withFolders(
          bundle.map((name) => file(`usr/share/nginx-mesh/${name}`, join(inputs.build, name))),
        ),
      },
    ],
  };
}

/** The C library and the names of the users: the same bytes, and so one layer, in all images. */
function base(inputs: Inputs): Layer {
  const users = [
    ["root", 0],
    ["nginx-mesh", sidecarUser],
    ["nonroot", controllerUser],
  ] as const;
  const text = (path: string, lines: readonly string[]): TarEntry => ({
    type: "file",
    path,
    mode: 0o444,
    content: Buffer.from(lines.map((line) => `${line}\n`).join("")),
  });
  const links = ["lib", "lib64", "sbin", "bin"].map((name): TarEntry => ({
    type: "link",
    path: name,
    target: `usr/${name}`,
  }));
  return {
    title: "Debian's C library",
    entries: withFolders([
      ...inputs.root.entries(inputs.root.closure(programs.base)),
      ...links,
      ...["usr/lib", "usr/lib64", "usr/sbin", "usr/bin", "proc", "sys", "dev"].map((path) => folder(path)),
      { type: "folder", path: "tmp", mode: 0o1777 },
      text(
        "etc/passwd",
        users.map(([name, id]) => `${name}:x:${id}:${id}:${name}:/:/sbin/nologin`),
      ),
      text(
        "etc/group",
        users.map(([name, id]) => `${name}:x:${id}:`),
      ),
      text("etc/nsswitch.conf", ["hosts: files dns"]),
    ]),
  };
}

/** Files with what they load, but for what the base layer has. */
function fromRoot({ root }: Inputs, wanted: readonly string[]): readonly TarEntry[] {
  const inBase = new Set(root.closure(programs.base));
  return root.entries(root.closure(wanted).filter((file) => !inBase.has(file)));
}

function executable(path: string, from: string): TarEntry {
  return { type: "file", path, mode: 0o555, content: readFileSync(from) };
}

function folder(path: string, owner = 0): TarEntry {
  return { type: "folder", path, mode: 0o755, owner };
}

function filesOf(from: string, to: string): readonly TarEntry[] {
  return readdirSync(from, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({
      type: "file",
      path: join(to, path.slice(from.length)),
      mode: lstatSync(path).mode & 0o111 ? 0o555 : 0o444,
      content: readFileSync(path),
    }));
}

function common(
  { version }: Inputs,
  name: string,
  description: string,
): Pick<ImageConfig, "reference" | "architecture" | "labels"> {
  return {
    reference: `${name}:${version}`,
    architecture: "amd64",
    labels: {
      "org.opencontainers.image.title": name,
      "org.opencontainers.image.description": description,
      "org.opencontainers.image.version": version,
      "org.opencontainers.image.licenses": "Apache-2.0",
    },
  };
}
