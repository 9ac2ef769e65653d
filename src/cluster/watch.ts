/** Tells when files change. Level-triggered: the listener reads everything anew, so a lost event costs nothing. */
import { type FSWatcher, readdirSync, watch } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Editors write in several steps; quiet for this long counts as written. */
const settleMilliseconds = 5;
/** A stream of events holds the listener up no longer than this. */
const longestMilliseconds = 25;
/** In case that an event was lost. */
const rereadMilliseconds = 10_000;

export interface Watch {
  close(): void;
}

/** Gathers events; `call` runs soon after the last of them. */
function gather(call: () => void): { soon(): void; close(): void } {
  let timer: NodeJS.Timeout | undefined;
  let first = 0;
  return {
    soon() {
      const now = Date.now();
      first = timer === undefined ? now : first;
      clearTimeout(timer);
      const wait = Math.max(0, Math.min(settleMilliseconds, first + longestMilliseconds - now));
      timer = setTimeout(() => {
        timer = undefined;
        call();
      }, wait);
    },
    close: () => clearTimeout(timer),
  };
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
