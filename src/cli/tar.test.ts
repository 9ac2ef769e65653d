import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { tar, type TarEntry } from "./tar.ts";

const long = `${"folder-with-a-name/".repeat(7)}file-with-a-name.txt`;

test("GNU tar reads what is written", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tar-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const entries: TarEntry[] = [
    { type: "file", path: "b/ümlaut", mode: 0o555, content: Buffer.from("text") },
    { type: "file", path: long, mode: 0o444, content: Buffer.alloc(1025, 1) },
    { type: "file", path: "empty", mode: 0o600, content: Buffer.alloc(0) },
    { type: "folder", path: "b", mode: 0o755, owner: 2102 },
    { type: "link", path: "link", target: "b/ümlaut" },
  ];
  writeFileSync(join(folder, "a.tar"), tar(entries, 86_400));
  const listed = execFileSync("tar", ["--numeric-owner", "--utc", "-tvf", join(folder, "a.tar")], {
    encoding: "utf8",
  });
  assert.match(listed, /^drwxr-xr-x 2102\/2102 +0 1970-01-02 00:00 b\/$/m);
  assert.match(listed, /^lrwxrwxrwx 0\/0 +0 1970-01-02 00:00 link -> /m);
  execFileSync("tar", ["--no-same-owner", "-xf", join(folder, "a.tar"), "-C", folder]);
  assert.equal(readFileSync(join(folder, "b/ümlaut"), "utf8"), "text");
  assert.equal(statSync(join(folder, "b/ümlaut")).mode & 0o7777, 0o555);
  assert.equal(statSync(join(folder, long)).size, 1025);
  assert.equal(statSync(join(folder, "empty")).size, 0);
  assert.equal(readlinkSync(join(folder, "link")), "b/ümlaut");
});

test("the order of the entries does not matter", () => {
  const paths = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,9}$/), { minLength: 1 });
  fc.assert(
    fc.property(paths, fc.integer({ min: 0, max: 2 ** 31 }), (names, seconds) => {
      const entries = names.map((path): TarEntry => ({
        type: "file",
        path,
        mode: 0o644,
        content: Buffer.from(path),
      }));
      assert.deepEqual(tar(entries, seconds), tar(entries.toReversed(), seconds));
    }),
  );
});

test("a path that does not fit is an error", () => {
  assert.throws(() => tar([{ type: "folder", path: "x".repeat(101), mode: 0o755 }], 0), RangeError);
});
