/**
 * Images as archives: the OCI image layout (image-spec v1.1) with a `manifest.json` beside it, so that `docker load` reads the
 * file too. Pure: the bytes depend on the arguments alone.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { tar, type TarEntry } from "../src/cli/tar.ts";

export interface ImageConfig {
  /** Repository and tag, as `nginx-mesh-sidecar:0.1.0`. */
  readonly reference: string;
  readonly architecture: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly environment: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly exposedPorts: readonly number[];
  /** Default: SIGTERM. */
  readonly stopSignal?: string;
}

export interface Layer {
  /** What the layer is, for the image's history. */
  readonly title: string;
  readonly entries: readonly TarEntry[];
}

interface Blob {
  readonly mediaType: string;
  readonly content: Buffer;
  readonly digest: string;
}

const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

export interface Image {
  readonly archive: Buffer;
  /** Digest of the manifest: what a registry knows the image by. */
  readonly digest: string;
  /** What is transferred when the image is pulled: manifest, configuration and compressed layers, in bytes. */
  readonly compressedSize: number;
}

/** `seconds` is the time in the image's metadata and of all files (SOURCE_DATE_EPOCH). */
export function buildImage(config: ImageConfig, layers: readonly Layer[], seconds: number): Image {
  const packed = layers.map((layer) => {
    const plain = tar(layer.entries, seconds);
    return {
      title: layer.title,
      diffId: digestOf(plain),
      blob: blob(mediaTypes.layer, gzipSync(plain, { level: 6 })),
    };
  });
  const configBlob = json(mediaTypes.config, {
    created: time(seconds),
    architecture: config.architecture,
    os: "linux",
    config: {
      User: config.user,
      ExposedPorts: Object.fromEntries(config.exposedPorts.map((port) => [`${port}/tcp`, {}])),
      ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
      Env: config.environment,
      Entrypoint: config.entrypoint,
      WorkingDir: "/",
      Labels: config.labels,
    },
    rootfs: { type: "layers", diff_ids: packed.map((layer) => layer.diffId) },
    history: packed.map((layer) => ({ created: time(seconds), created_by: layer.title })),
  });
  const blobs = packed.map((layer) => layer.blob);
  const manifest = json(mediaTypes.manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: descriptor(configBlob),
    layers: blobs.map(descriptor),
  });
  return {
    archive: archive(config, manifest, configBlob, blobs, seconds),
    digest: manifest.digest,
    compressedSize: [manifest, configBlob, ...blobs].reduce((sum, each) => sum + each.content.length, 0),
  };
}

function archive(
  config: ImageConfig,
  manifest: Blob,
  configBlob: Blob,
  layers: readonly Blob[],
  seconds: number,
): Buffer {
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [
      {
        ...descriptor(manifest),
        platform: { architecture: config.architecture, os: "linux" },
        annotations: {
          "org.opencontainers.image.ref.name": config.reference.slice(config.reference.lastIndexOf(":") + 1),
          "io.containerd.image.name": config.reference,
        },
      },
    ],
  };
  const docker = [
    { Config: blobPath(configBlob), RepoTags: [config.reference], Layers: layers.map(blobPath) },
  ];
  const file = (path: string, content: Buffer): TarEntry => ({ type: "file", path, mode: 0o644, content });
  // by digest: two layers that are equal are one file
  const blobs = new Map([manifest, configBlob, ...layers].map((each) => [each.digest, each]));
  return tar(
    [
      file("oci-layout", Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" }))),
      file("index.json", Buffer.from(JSON.stringify(index))),
      file("manifest.json", Buffer.from(JSON.stringify(docker))),
      { type: "folder", path: "blobs", mode: 0o755 },
      { type: "folder", path: "blobs/sha256", mode: 0o755 },
      ...[...blobs.values()].map((each) => file(blobPath(each), each.content)),
    ],
    seconds,
  );
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

function blob(mediaType: string, content: Buffer): Blob {
  return { mediaType, content, digest: digestOf(content) };
}

function json(mediaType: string, value: unknown): Blob {
  return blob(mediaType, Buffer.from(JSON.stringify(value)));
}

function descriptor(of: Blob): object {
  return { mediaType: of.mediaType, digest: of.digest, size: of.content.length };
}

function blobPath(of: Blob): string {
  return `blobs/${of.digest.replace(":", "/")}`;
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
