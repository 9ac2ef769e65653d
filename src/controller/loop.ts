/** Manifests and status → snapshot → model → configuration, whenever something changed. */
import { emptyStatus, type LocalStatus, readLocalStatus } from "../cluster/local-status.ts";
import { type FolderContents, openFolder } from "../cluster/folder.ts";
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
  onConfiguration(model: MeshModel, configuration: Configuration): void;
  /** Something could not be read at all; the last good state stays. Empty: it can be read again. */
  onError(message: string): void;
}

/** Runs until closed; the first pass is done when the promise resolves. */
export async function runLoop(options: LoopOptions): Promise<{ close(): void }> {
  const folder = openFolder(options.manifests);
  let status: LocalStatus = emptyStatus;
  let contents: FolderContents = { objects: [], problems: [], files: 0 };
  let lastVersion = "";
  let lastProblems = "";
  let running = false;
  let again = false;

  const read = async (): Promise<string> => {
    const errors: string[] = [];
    try {
      contents = await folder.read();
    } catch (error) {
      errors.push((error as Error).message);
    }
    try {
      status = await readLocalStatus(options.status);
    } catch (error) {
      errors.push(`cannot read the state of local mode "${options.status}": ${(error as Error).message}`);
    }
    return errors.join("; ");
  };

  const pass = async (): Promise<void> => {
    options.onError(await read());
    const snapshot = createSnapshot({
      objects: contents.objects,
      pods: status.pods,
      services: status.services,
      serviceRanges: status.serviceRanges,
      problems: contents.problems,
    });
    const model = buildModel(snapshot, options.settings);
    const configuration = compile(model);
    const problems = JSON.stringify(model.problems);
    if (configuration.version !== lastVersion || problems !== lastProblems) {
      lastVersion = configuration.version;
      lastProblems = problems;
      options.onConfiguration(model, configuration);
    }
  };

  const wake = async (): Promise<void> => {
    again = true;
    if (running) {
      return;
    }
    running = true;
    while (again) {
      again = false;
      await pass();
    }
    running = false;
  };

  await wake();
  return watchPaths([options.manifests], [options.status], () => void wake());
}
