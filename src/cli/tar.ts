/** Tar archives (POSIX ustar) whose bytes depend on their entries alone. */

export type TarEntry = TarFile | TarFolder | TarLink;

interface TarCommon {
  /** Relative, with `/` between names and no leading or trailing one. */
  readonly path: string;
  /** Owner and group; 0 when absent. */
  readonly owner?: number;
}

export interface TarFile extends TarCommon {
  readonly type: "file";
  readonly mode: number;
  readonly content: Buffer;
}

export interface TarFolder extends TarCommon {
  readonly type: "folder";
  readonly mode: number;
}

export interface TarLink extends TarCommon {
  readonly type: "link";
  readonly target: string;
}

const block = 512;

/** The archive of the entries, in the order of their paths. `seconds` is the modification time of all of them. Throws RangeError for a path that ustar cannot hold. */
export function tar(entries: readonly TarEntry[], seconds: number): Buffer {
  const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const parts = sorted.flatMap((entry) => {
    const content = entry.type === "file" ? entry.content : Buffer.alloc(0);
    const padding = Buffer.alloc((block - (content.length % block)) % block);
    return [header(entry, content.length, seconds), content, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

const typeFlags = { file: "0", link: "2", folder: "5" } as const;

function header(entry: TarEntry, size: number, seconds: number): Buffer {
  const head = Buffer.alloc(block);
  const { name, prefix } = split(entry.type === "folder" ? `${entry.path}/` : entry.path);
  const octal = (value: number, at: number, length: number): void => {
    head.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  };
  head.write(name, 0, 100, "utf8");
  octal(entry.type === "link" ? 0o777 : entry.mode, 100, 8);
  octal(entry.owner ?? 0, 108, 8);
  octal(entry.owner ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(seconds, 136, 12);
  head.write(typeFlags[entry.type], 156, "latin1");
  head.write(entry.type === "link" ? entry.target : "", 157, 100, "utf8");
  head.write("ustar\x0000", 257, "latin1");
  octal(0, 329, 8);
  octal(0, 337, 8);
  head.write(prefix, 345, 155, "utf8");
  // the sum is taken with spaces in its own field
  head.fill(" ", 148, 156);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return head;
}

/** A path of more than 100 bytes is split at a `/` into a prefix of up to 155 and a name of up to 100. */
function split(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= 100) {
    return { name: path, prefix: "" };
  }
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    const name = path.slice(at + 1);
    if (name !== "" && Buffer.byteLength(name) <= 100 && Buffer.byteLength(path.slice(0, at)) <= 155) {
      return { name, prefix: path.slice(0, at) };
    }
  }
  throw new RangeError(`"${path}" is too long for a tar archive`);
}
