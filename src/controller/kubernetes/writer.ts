/** Writes to the API server what is due, each thing once until it differs, and goes on with the others when one is refused. */
import { ApiError, isStatus, isTerminating } from "../../cluster/kubernetes/api-server.ts";

/** One write that is due: `key` names it, `content` tells whether it differs from the last one of that key. */
export interface Due {
  readonly key: string;
  readonly content: string;
  /** Rights that it takes, as `"get" and "patch" the resource …`. */
  readonly needs: string;
  readonly write: () => Promise<void>;
}

export interface WriterOptions {
  /** What it is about, after "cannot". */
  readonly what: string;
  /** Why some cannot be written; empty: all can. */
  onError(message: string): void;
}

export interface Writer {
  /** All that is due now. */
  update(due: readonly Due[]): void;
  /** Forgets what was written. */
  reset(): void;
  close(): Promise<void>;
}

/** Writes under way at once. */
const parallel = 8;
const retryMilliseconds = 5_000;
/** Of one write that somebody else was quicker with. */
const mostAttempts = 3;

function explain(what: string, error: unknown, { needs }: Due): string {
  return isStatus(error, 403)
    ? `cannot ${what}: access is denied; let the controller's ServiceAccount ${needs} (${error.message})`
    : `cannot ${what}: ${(error as Error).message}`;
}

/** Nothing is to be written to an object that is going; one of the same name after it has another key or content. */
function isGone(error: unknown): boolean {
  return isStatus(error, 404) || isTerminating(error);
}

/** Whether it says nothing of other writes, as a 403 or 422 does; a bad token, 429 and what has no answer do. */
function isOfOne(error: unknown): boolean {
  const refused = error instanceof ApiError && error.status >= 400 && error.status < 500;
  return refused && !isStatus(error, 401, 408, 429);
}

export function createWriter(options: WriterOptions): Writer {
  let wanted: readonly Due[] = [];
  let written = new Map<string, string>();
  let running: Promise<void> | undefined;
  let retry: NodeJS.Timeout | undefined;
  let closed = false;

  const writeOne = async (due: Due): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await due.write();
        break;
      } catch (error) {
        if (isGone(error)) {
          break;
        }
        // somebody else was quicker: what is there now is read anew
        if (!isStatus(error, 409) || attempt === mostAttempts) {
          throw error;
        }
      }
    }
    written.set(due.key, due.content);
  };
  /** `refused` takes the reasons by what they are about. Throws what concerns all writes. */
  const writeSome = async (some: readonly Due[], refused: Map<string, string>): Promise<void> => {
    const results = await Promise.allSettled(some.map(writeOne));
    for (const [at, result] of results.entries()) {
      if (result.status === "rejected") {
        const due = some[at]!;
        const message = explain(options.what, result.reason, due);
        if (!isOfOne(result.reason)) {
          throw new Error(message, { cause: result.reason });
        }
        refused.set(isStatus(result.reason, 403) ? due.needs : due.key, message);
      }
    }
  };
  const run = async (): Promise<void> => {
    const tried = new Map<string, string>();
    const refused = new Map<string, string>();
    const isOpen = ({ key, content }: Due): boolean =>
      written.get(key) !== content && tried.get(key) !== content;
    for (;;) {
      const open = wanted.filter(isOpen).slice(0, parallel);
      if (open.length === 0 || closed) {
        break;
      }
      open.forEach(({ key, content }) => tried.set(key, content));
      await writeSome(open, refused);
    }
    if (refused.size > 0) {
      throw new Error([...refused.values()].sort().join("; "));
    }
    options.onError("");
  };
  const start = (): void => {
    clearTimeout(retry);
    running ??= run()
      .catch((error: unknown) => {
        options.onError((error as Error).message);
        retry = closed ? undefined : setTimeout(start, retryMilliseconds);
      })
      .finally(() => (running = undefined));
  };

  return {
    update(due) {
      wanted = due;
      const present = new Set(due.map(({ key }) => key));
      written = new Map([...written].filter(([key]) => present.has(key)));
      start();
    },
    reset() {
      written = new Map();
      wanted = [];
    },
    async close() {
      closed = true;
      clearTimeout(retry);
      await running;
    },
  };
}
