/** Tells when files change. Level-triggered: the listener reads everything anew, so a lost event costs nothing. */
import { type FSWatcher, readdirSync, watch } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gather } from "./gather.ts";

/** In case that an event was lost. */
const rereadMilliseconds = 10_000;

export interface Watch {
  close(): void;
}

function foldersIn(root: string): string[] {
  try {
    const entries = readdirSync(root, { recursive: true, withFileTypes: true });
    return [
      root,
      ...entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)),
    ];
  } catch {
    // the reader of the folder says what is wrong with it
    return [];
  }
}

/**
 * Watches folders, not files: a file that an editor replaces by a rename is another file. (The recursive mode of
 * `fs.watch` follows each file on Linux and loses those.)
 */
class Tree {
  readonly #roots: readonly string[];
  readonly #changed: () => void;
  readonly #watchers = new Map<string, FSWatcher>();

  constructor(roots: readonly string[], changed: () => void) {
    this.#roots = roots;
    this.#changed = changed;
  }

  /** Watches the folders that there are now. */
  refresh(): void {
    const present = new Set(this.#roots.flatMap(foldersIn));
    for (const folder of this.#watchers.keys()) {
      if (!present.has(folder)) {
        this.#drop(folder);
      }
    }
    for (const folder of present) {
      this.#add(folder);
    }
  }

  close(): void {
    for (const folder of this.#watchers.keys()) {
      this.#drop(folder);
    }
  }

  #add(folder: string): void {
    if (this.#watchers.has(folder)) {
      return;
    }
    try {
      const watcher = watch(folder, { persistent: true }, this.#changed);
      watcher.on("error", () => {
        this.#drop(folder);
        this.#changed();
      });
      this.#watchers.set(folder, watcher);
    } catch {
      // gone again; the next refresh knows
    }
  }

  #drop(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }
}

/** Calls the listener soon after anything in the paths changed: folders with all below them, or single files. */
export function watchPaths(
  folders: readonly string[],
  files: readonly string[],
  listener: () => void,
): Watch {
  const events = gather(() => {
    tree.refresh();
    listener();
  });
  const tree = new Tree(folders, events.soon);
  tree.refresh();
  const watchers = files.map((file) =>
    watch(dirname(file), { persistent: true }, (_event, changed) => {
      if (changed === basename(file)) {
        events.soon();
      }
    }).on("error", events.soon),
  );
  const reread = setInterval(events.soon, rereadMilliseconds);
  return {
    close() {
      clearInterval(reread);
      events.close();
      tree.close();
      watchers.forEach((watcher) => watcher.close());
    },
  };
}
