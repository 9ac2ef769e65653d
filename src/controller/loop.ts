/** Manifests and status → snapshot → model → configuration, whenever something changed. */
import { type FolderContents, openFolder } from "../cluster/folder.ts";
import { type LocalStatus, readLocalStatus } from "../cluster/local-status.ts";
import { createSnapshot } from "../cluster/snapshot.ts";
import { watchPaths } from "../cluster/watch.ts";
import { compile, type Configuration } from "../compile/configuration.ts";
import { buildModel } from "../model/build.ts";
import type { MeshModel } from "../model/mesh.ts";
import type { SettingsOptions } from "../model/settings.ts";

export interface LoopOptions {
  readonly manifests: string;
  readonly status: string;
  readonly settings: SettingsOptions;
  /** A configuration or problems that differ from the last ones. Not called before both sources could be read. */
  onConfiguration(model: MeshModel, configuration: Configuration): void;
  /** Something could not be read at all; the last good state stays. Empty: it can be read again. */
  onError(message: string): void;
}

/** What was read last, each part when it could last be read. */
interface Sources {
  contents?: FolderContents;
  status?: LocalStatus;
}

/** Runs `action` again and again while asked to, never twice at once; it must not throw. */
function oneAtATime(action: () => Promise<void>): () => Promise<void> {
  let again = false;
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    while (again) {
      again = false;
      await action();
    }
    running = undefined;
  };
  return () => {
    again = true;
    running ??= run();
    return running;
  };
}

function compileFrom(contents: FolderContents, status: LocalStatus, settings: SettingsOptions) {
  const snapshot = createSnapshot({
    objects: contents.objects,
    pods: status.pods,
    services: status.services,
    serviceRanges: status.serviceRanges,
    problems: contents.problems,
  });
  const model = buildModel(snapshot, settings);
  return { model, configuration: compile(model) };
}

/** Runs until closed; the first pass is done when the promise resolves. */
export async function runLoop(options: LoopOptions): Promise<{ close(): void }> {
  const folder = openFolder(options.manifests);
  const sources: Sources = {};
  let last = "";

  const read = async (): Promise<string> => {
    const [contents, status] = await Promise.allSettled([folder.read(), readLocalStatus(options.status)]);
    if (contents.status === "fulfilled") {
      sources.contents = contents.value;
    }
    if (status.status === "fulfilled") {
      sources.status = status.value;
    }
    return [contents, status]
      .flatMap((result) => (result.status === "rejected" ? [(result.reason as Error).message] : []))
      .join("; ");
  };

  const pass = async (): Promise<void> => {
    let error = await read();
    const { contents, status } = sources;
    if (contents !== undefined && status !== undefined) {
      try {
        const { model, configuration } = compileFrom(contents, status, options.settings);
        const present = `${configuration.version} ${JSON.stringify(model.problems)}`;
        if (present !== last) {
          last = present;
          options.onConfiguration(model, configuration);
        }
      } catch (cause) {
        // a defect, not bad input; the last good configuration stays in force
        error = `the configuration cannot be made: ${(cause as Error).stack ?? String(cause)}`;
      }
    }
    options.onError(error);
  };

  const wake = oneAtATime(pass);
  const watching = watchPaths([options.manifests], [options.status], () => void wake());
  await wake();
  return watching;
}
