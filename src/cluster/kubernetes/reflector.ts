/**
 * Follows all objects of one resource: a list, then a watch from the list's version (Kubernetes API Concepts,
 * "Efficient detection of changes"). Only what `project` keeps stays in memory.
 *
 * The informer of @kubernetes/client-node is not used: it lists everything anew whenever a watch ends, stops at the
 * first error, finds an object by a search through all, and keeps whole objects.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { ApiError, type ApiServer, isStatus } from "./api-server.ts";
import { otherVersions } from "./other-versions.ts";
import { type Resource, resourceName, resourcePath } from "./resources.ts";

/** Takes the whole state after a list, then the changes. Keys are `namespace/name`. */
export interface Sink<T> {
  replace(objects: ReadonlyMap<string, T>): void;
  set(key: string, object: T): void;
  remove(key: string): void;
}

export interface ReflectorOptions<T> {
  readonly api: ApiServer;
  readonly resource: Resource;
  /** What is kept of an object; undefined: nothing, as if it were not there. */
  readonly project: (raw: unknown) => T | undefined;
  readonly sink: Sink<T>;
  /** A sentence when the objects cannot be read, with what is to be done; empty: they can again. */
  onState(error: string): void;
}

export interface Reflector {
  close(): void;
}

/** Objects a page; with some 5 KiB each a page is 2.5 MiB of text. */
const pageSize = "500";
/** Milliseconds. */
const listTimeout = 60_000;
const firstDelay = 200;
const longestDelay = 5_000;
/** A resource that the server does not have is looked for again this often. */
const absentDelay = 15_000;
/** A watch that ends sooner without an event counts as a failure. */
const shortestWatch = 1_000;
/** Seconds after which the server ends a watch: between one and two of these. */
const watchSeconds = 240;
/** Milliseconds beyond, after which a watch counts as dead. */
const watchGrace = 15_000;

/** Loose: what else is there is for whoever reads the object. */
const metadata = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  resourceVersion: z.string(),
});
const page = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(z.looseObject({ metadata })).nullable(),
});
const event = z.discriminatedUnion("type", [
  z.object({ type: z.enum(["ADDED", "MODIFIED", "DELETED"]), object: z.looseObject({ metadata }) }),
  z.object({
    type: z.literal("BOOKMARK"),
    object: z.object({ metadata: z.object({ resourceVersion: z.string() }) }),
  }),
  z.object({
    type: z.literal("ERROR"),
    object: z.object({ code: z.number().optional(), message: z.string().optional() }),
  }),
]);

/** The watch cannot go on from the version that it had. */
class GoneError extends Error {
  override readonly name = "GoneError";
}

function keyOf(of: Pick<z.infer<typeof metadata>, "name" | "namespace">): string {
  return `${of.namespace ?? ""}/${of.name}`;
}

/** A sentence with what to do about it. */
function explain(error: unknown, resource: Resource, verb: string): string {
  if (isStatus(error, 0) && error.cause instanceof Error) {
    return `cannot reach the API server: ${error.cause.message}`;
  }
  const what = `cannot ${verb} ${resourceName(resource)}`;
  if (isStatus(error, 403)) {
    return `${what}: access is denied; let the program's ServiceAccount "get", "list" and "watch" the resource "${resource.plural}" of the API group "${resource.group}"${resource.namespace === undefined ? "" : ` in the namespace ${resource.namespace}`} (${error.message})`;
  }
  if (isStatus(error, 404)) {
    return `${what}: the API server does not have this resource (${error.message})`;
  }
  return `${what}: ${error instanceof z.ZodError ? "the answer has not the form of the Kubernetes API" : (error as Error).message}`;
}

interface Progress {
  /** API version that the server has. */
  served: string;
  /** Version of the objects that the sink has; empty: a list is needed. */
  version: string;
}

async function listAll<T>(
  options: ReflectorOptions<T>,
  served: string,
  paged: boolean,
): Promise<{ readonly objects: ReadonlyMap<string, T>; readonly version: string }> {
  const objects = new Map<string, T>();
  let next = "";
  for (;;) {
    const answer = page.parse(
      await options.api.send({
        method: "GET",
        path: resourcePath(options.resource, served),
        query: { ...(paged ? { limit: pageSize } : {}), ...(next === "" ? {} : { continue: next }) },
        timeout: listTimeout,
      }),
    );
    for (const raw of answer.items ?? []) {
      const object = options.project(raw);
      if (object !== undefined) {
        objects.set(keyOf(raw.metadata), object);
      }
    }
    next = answer.metadata.continue ?? "";
    if (next === "") {
      return { objects, version: answer.metadata.resourceVersion };
    }
  }
}

/** In pages; if these take so long that the server forgets where it was, at once. */
async function list<T>(options: ReflectorOptions<T>, served: string): ReturnType<typeof listAll<T>> {
  try {
    return await listAll(options, served, true);
  } catch (error) {
    if (isStatus(error, 410)) {
      return listAll(options, served, false);
    }
    throw error;
  }
}

/** Lists by the first API version that the server has; false: it has none. */
async function listServed<T>(options: ReflectorOptions<T>, progress: Progress): Promise<boolean> {
  for (const served of options.resource.versions) {
    try {
      const { objects, version } = await list(options, served);
      options.sink.replace(objects);
      progress.served = served;
      progress.version = version;
      return true;
    } catch (error) {
      if (!isStatus(error, 404)) {
        throw error;
      }
    }
  }
  return false;
}

function apply<T>(options: ReflectorOptions<T>, progress: Progress, line: string): void {
  const { type, object } = event.parse(JSON.parse(line));
  switch (type) {
    case "ERROR":
      throw object.code === 429
        ? new ApiError(`the watch ends: ${object.message ?? "too many requests"}`, 429)
        : new GoneError(`the watch ends: ${object.message ?? "no reason given"}`);
    case "BOOKMARK":
      break;
    case "DELETED":
      options.sink.remove(keyOf(object.metadata));
      break;
    case "ADDED":
    case "MODIFIED": {
      const kept = options.project(object);
      if (kept === undefined) {
        options.sink.remove(keyOf(object.metadata));
      } else {
        options.sink.set(keyOf(object.metadata), kept);
      }
    }
  }
  progress.version = object.metadata.resourceVersion;
}

/** Whether the watch cannot go on from where it was: too old, the resource is gone, or what came makes no sense. */
function needsList(error: unknown): boolean {
  const cause = isStatus(error, 0) ? error.cause : error;
  return (
    cause instanceof GoneError ||
    cause instanceof z.ZodError ||
    cause instanceof SyntaxError ||
    isStatus(cause, 404, 410)
  );
}

/** Resolves when the server ends the watch. Throws ApiError, also when nothing ends it in time. */
async function watch<T>(
  options: ReflectorOptions<T>,
  progress: Progress,
  cancel: AbortController,
): Promise<void> {
  const seconds = Math.round(watchSeconds * (1 + Math.random()));
  const dead = setTimeout(() => cancel.abort(), seconds * 1000 + watchGrace);
  try {
    await options.api.stream({
      path: resourcePath(options.resource, progress.served),
      query: {
        watch: "1",
        resourceVersion: progress.version,
        allowWatchBookmarks: "true",
        timeoutSeconds: `${seconds}`,
      },
      signal: cancel.signal,
      onLine: (line) => apply(options, progress, line),
    });
  } finally {
    clearTimeout(dead);
    cancel.abort();
  }
}

export function startReflector<T>(options: ReflectorOptions<T>): Reflector {
  const closed = new AbortController();
  const progress: Progress = { served: "", version: "" };
  let watching = new AbortController();
  let delay = firstDelay;

  const pause = (milliseconds: number): Promise<void> =>
    sleep(milliseconds, undefined, { signal: closed.signal }).catch(() => undefined);
  const backOff = async (least = 0): Promise<void> => {
    await pause(Math.max(least, delay * (0.5 + Math.random() / 2)));
    delay = Math.min(delay * 2, longestDelay);
  };
  /** What was there is believed to be gone when it is missing twice: an API server that starts may lack it at first. */
  const absent = async (): Promise<void> => {
    const { api, resource } = options;
    const others = await otherVersions(api, resource).catch(() => "");
    if (others !== "") {
      options.onState(others);
    } else if (!resource.optional) {
      options.onState(explain(new ApiError("not found", 404), resource, "list"));
    } else if (progress.served === "") {
      options.sink.replace(new Map());
      options.onState("");
    }
    progress.served = "";
    await pause(absentDelay);
  };
  const follow = async (): Promise<void> => {
    const start = performance.now();
    const from = progress.version;
    watching = new AbortController();
    try {
      await watch(options, progress, watching);
    } finally {
      delay = performance.now() - start < shortestWatch && progress.version === from ? delay : firstDelay;
    }
    if (performance.now() - start < shortestWatch) {
      await backOff();
    }
  };
  const step = async (): Promise<void> => {
    const verb = progress.version === "" ? "list" : "watch";
    try {
      if (verb === "list" && !(await listServed(options, progress))) {
        await absent();
        return;
      }
      options.onState("");
      await follow();
    } catch (error) {
      if (closed.signal.aborted) {
        return;
      }
      if (needsList(error)) {
        progress.version = "";
      } else {
        options.onState(explain(error, options.resource, verb));
      }
      await backOff(error instanceof ApiError ? error.retryAfter : 0);
    }
  };
  const run = async (): Promise<void> => {
    while (!closed.signal.aborted) {
      await step();
    }
  };
  void run();
  return {
    close() {
      closed.abort();
      watching.abort();
    },
  };
}
