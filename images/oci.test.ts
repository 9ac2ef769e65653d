import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { buildImage, type ImageConfig, type Layer } from "./oci.ts";

const config: ImageConfig = {
  reference: "example:1.0",
  architecture: "amd64",
  user: "7:7",
  entrypoint: ["/program", "-x"],
  environment: ["A=b"],
  labels: { one: "two" },
  exposedPorts: [80],
};
const layer = (text: string): Layer => ({
  title: text,
  entries: [{ type: "file", path: "file", mode: 0o444, content: Buffer.from(text) }],
});

/** Files of a tar archive by their paths, from its headers alone. */
function filesIn(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; archive[at] !== 0;) {
    const size = Number.parseInt(archive.toString("latin1", at + 124, at + 135), 8);
    const name = archive.toString("utf8", at, at + 100).replace(/\0.*/, "");
    files.set(name, archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

test("digests and sizes of all parts are those of their bytes", () => {
  const image = buildImage(config, [layer("one"), layer("two")], 0);
  const files = filesIn(image.archive);
  const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
  const read = ({ digest, size }: { digest: string; size: number }): Buffer => {
    const content = files.get(`blobs/${digest.replace(":", "/")}`);
    assert.ok(content !== undefined);
    assert.equal(content.length, size);
    assert.equal(`sha256:${sha256(content)}`, digest);
    return content;
  };
  const index = JSON.parse(String(files.get("index.json")));
  const manifest = JSON.parse(String(read(index.manifests[0])));
  const imageConfig = JSON.parse(String(read(manifest.config)));
  assert.equal(image.digest, index.manifests[0].digest);
  const diffIds = manifest.layers.map((each: never) => `sha256:${sha256(gunzipSync(read(each)))}`);
  assert.deepEqual(imageConfig.rootfs.diff_ids, diffIds);
  assert.equal(imageConfig.config.User, "7:7");
  assert.deepEqual(imageConfig.config.Entrypoint, ["/program", "-x"]);
  const [docker] = JSON.parse(String(files.get("manifest.json")));
  assert.deepEqual(docker.RepoTags, ["example:1.0"]);
  assert.ok([docker.Config, ...docker.Layers].every((path: string) => files.has(path)));
});

test("the same input gives the same bytes, other input another digest", () => {
  const one = buildImage(config, [layer("one")], 0);
  assert.deepEqual(buildImage(config, [layer("one")], 0), one);
  assert.notEqual(buildImage(config, [layer("two")], 0).digest, one.digest);
  assert.notEqual(buildImage({ ...config, user: "8:8" }, [layer("one")], 0).digest, one.digest);
  assert.notEqual(buildImage(config, [layer("one")], 1).digest, one.digest);
});

test("two equal layers are stored once", () => {
  const files = filesIn(buildImage(config, [layer("one"), layer("one")], 0).archive);
  assert.equal([...files.keys()].filter((name) => /^blobs\/sha256\/./.test(name)).length, 3);
});
