/** The files that the NATS server reads, kept up to date: its certificate, the bundle, and who may connect. */

import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { controlPlaneNamespace, natsServiceAccount, spiffeId } from "../wire/sidecar.ts";
import type { Authority } from "./authority.ts";
import { certificatesToPem, privateKeyToPem } from "./der.ts";
import {
  accountError,
  natsServerConfiguration,
  type NatsServerSettings,
  type ServiceAccount,
} from "./nats-server.ts";
import { createSvidSource } from "./svid-source.ts";
import type { WorkloadIdentity } from "./workload-client.ts";

export interface NatsFileSetOptions {
  /** Folder for the files alone; it must be there. */
  readonly directory: string;
  readonly server: Omit<NatsServerSettings, "certFile" | "keyFile" | "caFile" | "serviceAccounts">;
}

export interface NatsFileSet {
  /** What to start the server with: `nats-server -c <configurationFile>`. */
  readonly configurationFile: string;
  /** Whether any file has changed since the last call that did not reject. Files are replaced as a whole, so that the server finds a usable set at any time. */
  write(
    identity: Pick<WorkloadIdentity, "certificates" | "key" | "bundle">,
    serviceAccounts: readonly ServiceAccount[],
  ): Promise<boolean>;
}

export function natsFileSet(options: NatsFileSetOptions): NatsFileSet {
  const files = new FileSet(options.directory);
  return {
    configurationFile: files.path("nats-server.conf"),
    async write({ certificates, key, bundle }, serviceAccounts) {
      const chain = certificatesToPem(certificates);
      const configuration = natsServerConfiguration({
        ...options.server,
        certFile: files.path("server.pem"),
        keyFile: files.path("server.pem"),
        caFile: files.path("bundle.pem"),
        serviceAccounts,
      });
      // Key and certificate in one file, so that a server that starts at any time finds a pair.
      await files.replace("server.pem", chain + privateKeyToPem(key.reveal()));
      await files.replace("bundle.pem", certificatesToPem(bundle));
      await files.replace("nats-server.conf", configuration);
      return files.takeChanged();
    },
  };
}

export interface NatsServerFilesOptions {
  /** Folder for the files alone; it is created with mode 0700. */
  readonly directory: string;
  readonly authority: Authority;
  readonly svidTtlSeconds: number;
  readonly server: Pick<
    NatsServerSettings,
    "listenHost" | "port" | "storeDirectory" | "monitor" | "maxConnections"
  >;
  readonly serviceAccounts: readonly ServiceAccount[];
  /** Called when the files have changed after the first time: send the server a SIGHUP. */
  readonly onChanged: () => void;
  /** Called when a change cannot be written, and for a service account that is left out. Default: a process warning. */
  readonly onError?: (error: Error) => void;
}

export interface NatsServerFiles {
  /** What to start the server with: `nats-server -c <configurationFile>`. */
  readonly configurationFile: string;
  /** Resolves when the files say so; `onChanged` has then been called if anything changed. */
  setServiceAccounts(serviceAccounts: readonly ServiceAccount[]): Promise<void>;
  close(): Promise<void>;
}

/** Writes the files and keeps them: a new certificate at half its life, each change of the bundle at once. */
export async function keepNatsServerFiles(options: NatsServerFilesOptions): Promise<NatsServerFiles> {
  const { authority, directory } = options;
  const onError = options.onError ?? process.emitWarning;
  const files = natsFileSet({
    directory,
    server: { ...options.server, trustDomain: authority.trustDomain },
  });
  /** The others in force: a name that none can have is its own pods' trouble. */
  const usable = (accounts: readonly ServiceAccount[]): readonly ServiceAccount[] =>
    accounts.filter((account) => {
      const error = accountError(account);
      if (error !== undefined) {
        onError(error);
      }
      return error === undefined;
    });
  let serviceAccounts = usable(options.serviceAccounts);
  let queue: Promise<unknown> = Promise.resolve();

  const write = async (): Promise<boolean> => {
    const { certificates, key } = await source.current();
    return files.write({ certificates, key, bundle: authority.bundle() }, serviceAccounts);
  };
  const update = (): Promise<void> => {
    const done = queue.then(write).then((changed) => (changed ? options.onChanged() : undefined));
    queue = done.catch(() => undefined);
    return done;
  };
  const updateByItself = (): void => void update().catch(onError);
  const source = createSvidSource({
    authority,
    spiffeId: spiffeId(authority.trustDomain, controlPlaneNamespace, natsServiceAccount),
    ttlSeconds: options.svidTtlSeconds,
    onRenewed: updateByItself,
    onError,
  });

  await mkdir(directory, { recursive: true, mode: 0o700 });
  await write();
  source.setFollowed(true);
  const stopWatching = authority.onChange(updateByItself);
  return {
    configurationFile: files.configurationFile,
    setServiceAccounts: (accounts) => {
      serviceAccounts = usable(accounts);
      return update();
    },
    close: async () => {
      stopWatching();
      source.close();
      await queue;
    },
  };
}

/** Files of one folder, each replaced as a whole and only when its content differs. */
class FileSet {
  readonly #directory: string;
  readonly #written = new Map<string, string>();
  #changed = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  async replace(name: string, content: string): Promise<void> {
    if (this.#written.get(name) === content) {
      return;
    }
    const temporary = this.path(`${name}.new`);
    await writeFile(temporary, content, { mode: 0o600 });
    await rename(temporary, this.path(name));
    this.#written.set(name, content);
    this.#changed = true;
  }

  /** Whether a file has been replaced since this was asked. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }
}
