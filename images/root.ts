/**
 * Takes out of a Debian root what some programs need and nothing else: the files, the shared libraries that the loader finds for them,
 * and, for each package that a file comes from, its licence and its entry for scanners of vulnerabilities
 * (`/var/lib/dpkg/status.d`, as in images without a package manager).
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TarEntry } from "../src/cli/tar.ts";

export interface DebianRoot {
  /** The files and folders (paths inside the root, absolute) with the libraries they load; links in between are resolved. */
  closure(paths: readonly string[]): readonly string[];
  /** Entries of these files, their folders, and the records of their packages. Modes lose write and set-id bits. */
  entries(files: readonly string[]): readonly TarEntry[];
}

const libraryFolders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib"];

export function openRoot(root: string): DebianRoot {
  const packages = readPackages(root);
  return {
    closure: (paths) => closure(root, paths),
    entries: (files) => {
      const owners = new Set(files.flatMap((file) => packages.ownerOf(file) ?? []));
      const records = [...owners].sort().flatMap((name) => packages.records(name));
      return withFolders([...files.map((file) => fileEntry(root, file)), ...records]);
    },
  };
}

/** Adds the folders above the entries that are not among them. */
export function withFolders(entries: readonly TarEntry[]): readonly TarEntry[] {
  const known = new Set(entries.map((entry) => entry.path));
  const folders: TarEntry[] = [];
  for (const entry of entries) {
    const names = entry.path.split("/").slice(0, -1);
    for (let depth = 1; depth <= names.length; depth++) {
      const path = names.slice(0, depth).join("/");
      if (!known.has(path)) {
        known.add(path);
        folders.push({ type: "folder", path, mode: 0o755 });
      }
    }
  }
  return [...folders, ...entries];
}

function fileEntry(root: string, file: string): TarEntry {
  const executable = (statSync(join(root, file)).mode & 0o111) !== 0;
  return {
    type: "file",
    path: file.slice(1),
    mode: executable ? 0o555 : 0o444,
    content: readFileSync(join(root, file)),
  };
}

function closure(root: string, paths: readonly string[]): readonly string[] {
  const files = new Set<string>();
  for (const file of paths.flatMap((path) => filesBelow(root, path))) {
    files.add(file);
    for (const library of librariesOf(root, file)) {
      files.add(library);
    }
  }
  return [...files].sort();
}

function filesBelow(root: string, path: string): readonly string[] {
  const full = realpathSync(join(root, path));
  if (!statSync(full).isDirectory()) {
    return [path];
  }
  return (
    readdirSync(full, { recursive: true, withFileTypes: true })
      .map((entry) => join(path, join(entry.parentPath, entry.name).slice(full.length)))
      // a link to a file counts as the file (iptables has one module under several names)
      .filter((file) => statSync(join(root, file)).isFile())
  );
}

/** What the root's own loader would load, under the names that the programs ask for; nothing for a file that is not ELF. */
function librariesOf(root: string, file: string): readonly string[] {
  if (!readFileSync(join(root, file)).subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"))) {
    return [];
  }
  const loader = join(root, "usr/lib64/ld-linux-x86-64.so.2");
  const path = libraryFolders.map((folder) => join(root, folder)).join(":");
  const listed = execFileSync(loader, ["--library-path", path, "--list", join(root, file)], {
    encoding: "utf8",
  });
  if (listed.includes("statically linked")) {
    return [];
  }
  return [...listed.matchAll(/=> (\S+) \(0x/g)].map(([, found]) => {
    if (found === undefined || !found.startsWith(`${root}/`)) {
      throw new Error(`${file} needs a library that the root does not have:\n${listed}`);
    }
    return found.slice(root.length);
  });
}

interface Packages {
  ownerOf(file: string): string | undefined;
  records(name: string): readonly TarEntry[];
}

function readPackages(root: string): Packages {
  const info = join(root, "var/lib/dpkg/info");
  const owners = new Map<string, string>();
  for (const list of readdirSync(info).filter((name) => name.endsWith(".list"))) {
    for (const line of readFileSync(join(info, list), "utf8").split("\n")) {
      owners.set(merged(line), list.replace(/(:[a-z0-9]+)?\.list$/, ""));
    }
  }
  const stanzas = new Map<string, string>();
  for (const stanza of readFileSync(join(root, "var/lib/dpkg/status"), "utf8").split("\n\n")) {
    stanzas.set(/^Package: (.*)$/m.exec(stanza)?.[1] ?? "", stanza);
  }
  const file = (path: string, content: Buffer): TarEntry => ({ type: "file", path, mode: 0o444, content });
  return {
    // the name that programs ask for is often a link to the file
    ownerOf: (path) => owners.get(path) ?? owners.get(realpathSync(join(root, path)).slice(root.length)),
    records: (name) => [
      file(`usr/share/doc/${name}/copyright`, readFileSync(join(root, `usr/share/doc/${name}/copyright`))),
      file(`var/lib/dpkg/status.d/${name}`, Buffer.from(`${stanzas.get(name) ?? ""}\n`)),
    ],
  };
}

/** Packages from before the merger of /usr list /lib/…, where /lib is a link to /usr/lib. */
function merged(path: string): string {
  return /^\/(bin|sbin|lib|lib64)\//.test(path) ? `/usr${path}` : path;
}
