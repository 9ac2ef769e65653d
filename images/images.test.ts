/** The images as built by `make images`, looked at from outside: by skopeo, tar and by running what is in them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const checkout = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "images-"));
const names = ["nginx-mesh-sidecar", "nginx-mesh-init", "nginx-mesh-controller"] as const;
type Name = (typeof names)[number];

const rootOf = (name: Name): string => join(folder, name);
const archiveOf = (name: Name): string => join(folder, `${name}.tar`);

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Unpacks an OCI archive the plain way: each layer over the one before. */
function unpack(name: Name): void {
  const layout = join(folder, `${name}.layout`);
  mkdirSync(layout);
  mkdirSync(rootOf(name));
  run("tar", "-xf", archiveOf(name), "-C", layout);
  const read = (path: string) => JSON.parse(readFileSync(join(layout, path), "utf8"));
  const blob = (digest: string): string => join("blobs", digest.replace(":", "/"));
  for (const { digest } of read(blob(read("index.json").manifests[0].digest)).layers) {
    run("tar", "-xpzf", join(layout, blob(digest)), "-C", rootOf(name));
  }
}

before(() => {
  execFileSync(process.execPath, [join(checkout, "images/build.ts")], {
    env: { ...process.env, IMAGES: folder },
  });
  names.forEach(unpack);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** In the image's root, as its user, without any network. */
function runIn(name: Name, user: number, ...command: string[]): string {
  return run("unshare", "--net", "chroot", `--userspec=${user}:${user}`, rootOf(name), ...command);
}

const limits = [
  ["nginx-mesh-sidecar", 45, "2102:2102", 3],
  ["nginx-mesh-init", 45, "0:0", 2],
  ["nginx-mesh-controller", 70, "65532:65532", 3],
] as const;

for (const [name, mebibytes, user, layers] of limits) {
  test(`${name}: skopeo reads it, at most ${mebibytes} MiB, user ${user}`, () => {
    assert.ok(lstatSync(archiveOf(name)).size <= mebibytes * 2 ** 20);
    const image = JSON.parse(run("skopeo", "inspect", `oci-archive:${archiveOf(name)}`));
    assert.equal(image.Layers.length, layers);
    assert.equal(image.Labels["org.opencontainers.image.title"], name);
    const { config } = JSON.parse(run("skopeo", "inspect", "--config", `oci-archive:${archiveOf(name)}`));
    assert.equal(config.User, user);
    assert.ok(existsSync(join(rootOf(name), config.Entrypoint[0])));
    // a copy checks every digest
    run("skopeo", "copy", "--quiet", `oci-archive:${archiveOf(name)}`, `dir:${join(folder, `${name}.oci`)}`);
    run(
      "skopeo",
      "copy",
      "--quiet",
      `docker-archive:${archiveOf(name)}`,
      `dir:${join(folder, `${name}.docker`)}`,
    );
  });

  test(`${name}: no set-id or writable files, no shell, no package manager`, () => {
    const files = readdirSync(rootOf(name), { recursive: true, encoding: "utf8" });
    for (const file of files) {
      const status = lstatSync(join(rootOf(name), file));
      if (status.isFile()) {
        assert.equal(status.mode & 0o7222, 0, file);
      }
      assert.doesNotMatch(file, /bin\/(sh|bash|dash|busybox|apt|dpkg)$|^var\/(cache|lib\/apt)/);
    }
    assert.ok(
      files.includes("var/lib/dpkg/status.d/libc6") && files.includes("usr/share/doc/libc6/copyright"),
    );
  });
}

test("the sidecar's nginx reads its configuration", () => {
  const args = ["/usr/sbin/nginx", "-e", "stderr", "-c", "/usr/share/nginx-mesh/nginx.conf", "-t"];
  runIn("nginx-mesh-sidecar", 2102, ...args);
});

test("the init image applies capture rules", () => {
  const rules = [
    "*nat",
    "-A OUTPUT -p tcp -m owner --uid-owner 2102 -j RETURN",
    "-A OUTPUT -p tcp -m multiport --dports 53,8886 -j RETURN",
    "-A OUTPUT -p tcp -j REDIRECT --to-ports 8900",
    "COMMIT",
  ];
  writeFileSync(join(rootOf("nginx-mesh-init"), "rules"), `${rules.join("\n")}\n`);
  for (const program of ["iptables-restore", "ip6tables-restore"]) {
    runIn("nginx-mesh-init", 0, `/usr/sbin/${program}`, "/rules");
  }
});

test("the init image has what waits for the sidecar", () => {
  const waits = (...args: string[]) => runIn("nginx-mesh-init", 0, "/usr/sbin/nginx-mesh-init", ...args);
  const failed = { status: 1, stderr: /iptables-restore.*bad-option/s };
  assert.throws(() => waits("8886", "/usr/sbin/iptables-restore", "--bad-option"), failed);
});

test("the programs of the control plane start under their Node, and say what they need", () => {
  assert.match(runIn("nginx-mesh-controller", 65532, "/usr/bin/node", "--version"), /^v24\./);
  for (const [program, wanted] of [
    ["controller", /--manifests/],
    ["kubernetes-controller", /is missing/],
    ["nats-files", /is missing/],
  ] as const) {
    const file = `/usr/share/nginx-mesh/${program}.mjs`;
    assert.throws(() => runIn("nginx-mesh-controller", 65532, "/usr/bin/node", file), wanted);
  }
});

test("building again gives the same bytes", () => {
  const again = join(folder, "again");
  execFileSync(process.execPath, [join(checkout, "images/build.ts")], {
    env: { ...process.env, IMAGES: again },
  });
  for (const name of names) {
    assert.ok(readFileSync(join(again, `${name}.tar`)).equals(readFileSync(archiveOf(name))), name);
  }
});
