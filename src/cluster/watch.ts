/** Tells when files change. Level-triggered: the listener reads everything anew, so a lost event costs nothing. */
import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";

/** Editors write in several steps; this gathers them. */
const settleMilliseconds = 5;
/** In case that an event was lost. */
const rereadMilliseconds = 10_000;

export interface Watch {
  close(): void;
}

/** Calls the listener soon after anything in the paths changed: folders with all below them, or single files. */
export function watchPaths(
  folders: readonly string[],
  files: readonly string[],
  listener: () => void,
): Watch {
  let timer: NodeJS.Timeout | undefined;
  const soon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      listener();
    }, settleMilliseconds);
  };
  const watchers: FSWatcher[] = [];
  for (const folder of folders) {
    watchers.push(watch(folder, { recursive: true, persistent: true }, soon));
  }
  for (const file of files) {
    // the folder: a file that is replaced by a rename is another file
    const name = file.slice(dirname(file).length + 1);
    watchers.push(
      watch(dirname(file), { persistent: true }, (_event, changed) => changed === name && soon()),
    );
  }
  for (const watcher of watchers) {
    watcher.on("error", soon);
  }
  const reread = setInterval(soon, rereadMilliseconds);
  return {
    close() {
      clearInterval(reread);
      clearTimeout(timer);
      watchers.forEach((watcher) => watcher.close());
    },
  };
}
