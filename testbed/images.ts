/** The images that the bed needs beside the mesh's own, made from the bed's programs with the same code as the mesh's. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage, type Layer } from "../images/oci.ts";
import { openRoot, withFolders } from "../images/root.ts";
import type { TarEntry } from "../src/cli/tar.ts";
import { BedError } from "./errors.ts";
import { pauseImage } from "./node-files.ts";
import { registry } from "./plan.ts";
import type { Programs } from "./programs.ts";

/** Where the entry points of the public images are, these are too: a chart works with either. */
interface Recipe {
  readonly reference: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  /** Path in the image, without the first slash, → file of the host. */
  readonly files: Readonly<Record<string, string>>;
  readonly links?: Readonly<Record<string, string>>;
  /** Programs of a Debian root, which come with their libraries. */
  readonly debian?: { readonly root: string; readonly programs: readonly string[] };
}

export interface Archive {
  readonly reference: string;
  readonly file: string;
}

export const appImage = `${registry}/app:1`;
const nonRoot = "65532:65532";
const busyboxTools = [
  "sh",
  "cat",
  "ls",
  "sleep",
  "wget",
  "nc",
  "nslookup",
  "ip",
  "kill",
  "id",
  "env",
  "true",
  "ps",
];

export interface ImageInputs {
  readonly programs: Programs;
  readonly cache: string;
  /** Source of the pause program. */
  readonly pause: string;
  /** The sidecar's root, which has Debian's nats-server. */
  readonly sidecarRoot: string;
  readonly onBuild: (name: string) => void;
}

function recipes({ programs, cache, pause, sidecarRoot }: ImageInputs): readonly Recipe[] {
  return [
    {
      reference: pauseImage,
      user: nonRoot,
      entrypoint: ["/pause"],
      files: { pause: compilePause(pause, cache) },
    },
    {
      reference: `${registry}/coredns:1.15.0`,
      user: nonRoot,
      entrypoint: ["/coredns"],
      files: { coredns: programs.path("coredns") },
    },
    {
      reference: appImage,
      user: nonRoot,
      entrypoint: ["/app"],
      files: { app: programs.path("app"), "bin/busybox": "/bin/busybox" },
      links: Object.fromEntries(busyboxTools.map((name) => [`bin/${name}`, "busybox"])),
    },
    {
      reference: `${registry}/vault:1.13.0`,
      user: nonRoot,
      entrypoint: ["/vault"],
      files: { vault: programs.path("vault") },
    },
    {
      reference: `${registry}/nats:2.10.27`,
      user: nonRoot,
      entrypoint: ["/nats-server"],
      files: {},
      links: { "nats-server": "usr/sbin/nats-server", lib64: "usr/lib64", lib: "usr/lib" },
      debian: { root: sidecarRoot, programs: ["/usr/lib64/ld-linux-x86-64.so.2", "/usr/sbin/nats-server"] },
    },
    {
      reference: `${registry}/spire-server:1.13.3`,
      user: "1000:1000",
      entrypoint: ["/opt/spire/bin/spire-server", "run"],
      files: { "opt/spire/bin/spire-server": programs.path("spire-server") },
    },
    {
      reference: `${registry}/spire-agent:1.13.3`,
      user: "0:0",
      entrypoint: ["/opt/spire/bin/spire-agent", "run"],
      files: { "opt/spire/bin/spire-agent": programs.path("spire-agent") },
    },
    {
      reference: `${registry}/spire-controller-manager:0.6.3`,
      user: nonRoot,
      entrypoint: ["/spire-controller-manager"],
      files: { "spire-controller-manager": programs.path("spire-controller-manager") },
    },
  ];
}

/** Archives of all images of the bed; only what changed is made anew. */
export function buildImages(inputs: ImageInputs): readonly Archive[] {
  return recipes(inputs).map((recipe) => {
    const name = recipe.reference.slice(registry.length + 1).replace(/:.*/, "");
    const hash = createHash("sha256").update(JSON.stringify(recipe));
    Object.values(recipe.files).forEach((file) => hash.update(readFileSync(file)));
    const folder = join(inputs.cache, "images");
    const file = join(folder, `${name}-${hash.digest("hex").slice(0, 16)}.tar`);
    if (!existsSync(file)) {
      inputs.onBuild(name);
      mkdirSync(folder, { recursive: true });
      writeFileSync(`${file}.${process.pid}`, archiveOf(recipe, name));
      renameSync(`${file}.${process.pid}`, file);
    }
    return { reference: recipe.reference, file };
  });
}

function archiveOf(recipe: Recipe, name: string): Buffer {
  const files = Object.entries(recipe.files).map(([path, from]): TarEntry => ({
    type: "file",
    path,
    mode: 0o555,
    content: readFileSync(from),
  }));
  const links = Object.entries(recipe.links ?? {}).map(([path, target]): TarEntry => ({
    type: "link",
    path,
    target,
  }));
  const { debian } = recipe;
  const root = debian && openRoot(debian.root);
  const fromDebian = root?.entries(root.closure(debian?.programs ?? [])) ?? [];
  const [user = "0"] = recipe.user.split(":");
  const passwd = `root:x:0:0:root:/:/sbin/nologin\n${user === "0" ? "" : `user:x:${recipe.user}:user:/:/sbin/nologin\n`}`;
  const layer: Layer = {
    title: name,
    entries: withFolders([
      ...files,
      ...fromDebian,
      ...links,
      { type: "folder", path: "tmp", mode: 0o1777 },
      { type: "file", path: "etc/passwd", mode: 0o444, content: Buffer.from(passwd) },
    ]),
  };
  const { reference, user: owner, entrypoint } = recipe;
  const labels = { "org.opencontainers.image.title": name };
  const config = {
    reference,
    user: owner,
    entrypoint,
    labels,
    architecture: "amd64",
    environment: ["PATH=/bin:/"],
    exposedPorts: [],
  };
  return buildImage(config, [layer], 0).archive;
}

/** Static: it is alone in its image. */
function compilePause(source: string, cache: string): string {
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const target = join(cache, "programs", `pause-${hash}`);
  if (!existsSync(target)) {
    const work = mkdtempSync(join(tmpdir(), "pause-"));
    mkdirSync(join(cache, "programs"), { recursive: true });
    try {
      execFileSync(
        "gcc",
        [
          "-Os",
          "-Wall",
          "-Wextra",
          "-Werror",
          "-D_GNU_SOURCE",
          "-static",
          "-s",
          "-o",
          `${target}.new`,
          source,
        ],
        {
          encoding: "utf8",
          stdio: "pipe",
          cwd: work,
        },
      );
    } catch (cause) {
      throw new BedError(`compiling ${source} failed: ${(cause as Error).message}`, { cause });
    } finally {
      rmSync(work, { recursive: true });
    }
    renameSync(`${target}.new`, target);
  }
  return target;
}
