/** The NATS server's files in a cluster: its SVID from the Workload API, its clients from the cluster's ServiceAccounts. */
import { mkdir } from "node:fs/promises";
import * as z from "zod";
import type { ApiServer } from "../cluster/kubernetes/api-server.ts";
import { startReflector } from "../cluster/kubernetes/reflector.ts";
import { serviceAccounts as resource } from "../cluster/kubernetes/resources.ts";
import { natsServiceAccount, spiffeId } from "../wire/sidecar.ts";
import type { ServiceAccount } from "./nats-server.ts";
import { natsFileSet, type NatsFileSetOptions } from "./nats-server-files.ts";
import { watchSvid, type WorkloadIdentity } from "./workload-client.ts";

export interface ClusterNatsFilesOptions {
  readonly directory: string;
  readonly api: ApiServer;
  /** Unix socket. */
  readonly workloadApi: string;
  /** Namespace of the control plane. */
  readonly namespace: string;
  readonly trustDomain: string;
  readonly server: Omit<NatsFileSetOptions["server"], "namespace" | "trustDomain">;
  /** The files have changed, or are there for the first time. */
  onChanged(): void;
  /** What keeps the files from being up to date; they stay as they are. Empty: nothing any more. */
  onProblem(source: "identity" | "serviceAccounts" | "files", message: string): void;
}

/** Milliseconds in which changes are gathered: the server reads everything anew each time. */
const gatherMilliseconds = 250;
const retryMilliseconds = 2_000;

const account = z.object({ metadata: z.object({ namespace: z.string(), name: z.string() }) });

function readAccount(raw: unknown): ServiceAccount {
  const { namespace, name } = account.parse(raw).metadata;
  return { namespace, name };
}

/** Accounts by name, as the last events left them; undefined before the first list. */
function followAccounts(options: ClusterNatsFilesOptions, changed: () => void) {
  let known: Map<string, ServiceAccount> | undefined;
  const reflector = startReflector<ServiceAccount>({
    api: options.api,
    resource,
    project: readAccount,
    sink: {
      replace(objects) {
        known = new Map(objects);
        changed();
      },
      set(key, object) {
        if (known?.has(key) === false) {
          known.set(key, object);
          changed();
        }
      },
      remove(key) {
        known?.delete(key);
        changed();
      },
    },
    onState: (message) => options.onProblem("serviceAccounts", message),
  });
  return {
    current: () => (known === undefined ? undefined : [...known.values()]),
    close: () => reflector.close(),
  };
}

/** Writes as soon as there are both an identity and the accounts, then after each change, until closed. */
export function keepClusterNatsFiles(options: ClusterNatsFilesOptions): {
  /** What to start the server with: `nats-server -c <configurationFile>`. */
  readonly configurationFile: string;
  close(): void;
} {
  const { directory, namespace, trustDomain } = options;
  const expected = spiffeId(trustDomain, namespace, natsServiceAccount);
  const files = natsFileSet({ directory, server: { ...options.server, trustDomain, namespace } });
  let identity: WorkloadIdentity | undefined;
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();

  const write = async (): Promise<void> => {
    const known = accounts.current();
    if (identity === undefined || known === undefined) {
      return;
    }
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const changed = await files.write(identity, known);
      options.onProblem("files", "");
      if (changed) {
        options.onChanged();
      }
    } catch (error) {
      options.onProblem("files", `cannot write the NATS server's files: ${(error as Error).message}`);
      soon(retryMilliseconds);
    }
  };
  const soon = (milliseconds = gatherMilliseconds): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      running = running.then(write);
    }, milliseconds);
  };
  const accounts = followAccounts(options, soon);
  const svid = watchSvid(
    options.workloadApi,
    (next) => {
      if (next.spiffeId !== expected) {
        const hint = `check the pod's service account and the ClusterSPIFFEID that gives it its identity`;
        options.onProblem(
          "identity",
          `the Workload API gives the identity ${next.spiffeId}, not ${expected}: ${hint}`,
        );
        return;
      }
      options.onProblem("identity", "");
      identity = next;
      soon();
    },
    (error) => options.onProblem("identity", error.message),
  );
  return {
    configurationFile: files.configurationFile,
    close() {
      clearTimeout(timer);
      svid.close();
      accounts.close();
    },
  };
}
