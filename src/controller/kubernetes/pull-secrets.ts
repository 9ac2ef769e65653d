/**
 * The registry's credentials in every namespace with sidecars, as pods are pulled with Secrets of their own namespace alone.
 * The controller may make a Secret and delete those of this one name, but read none: who could make Secrets of any type
 * and read them would have the token of every service account. So what is there is not compared, but made anew.
 */
import { createHash } from "node:crypto";
import { isInjectionAsked, systemNamespaces } from "../../api/annotations.ts";
import { type ApiServer, isStatus, isTerminating } from "../../cluster/kubernetes/api-server.ts";
import { objectsOf, type Snapshot } from "../../cluster/snapshot.ts";
import type { Secret } from "../../identity/secret.ts";

/** Name of the Secret, in the mesh's namespace and in all others. */
export const pullSecretName = "nginx-mesh-registry-key";

/**
 * Milliseconds until what failed is tried again, and until all are looked at again: one that somebody has deleted is
 * made anew then, and credentials that have changed are copied.
 */
const usualPauses = { retry: 5_000, look: 60_000 } as const;

export interface PullSecretsOptions {
  readonly api: Pick<ApiServer, "send">;
  /** Content of `.dockerconfigjson`, as it is now. Throws when it cannot be read. */
  readonly content: () => Secret;
  /** Why a Secret cannot be made; empty: all are there. */
  onError(message: string): void;
  readonly pauses?: { readonly retry: number; readonly look: number };
}

export interface PullSecrets {
  /** Namespaces that are to have the Secret; those that had it and are not among them lose it. */
  update(namespaces: ReadonlySet<string>): void;
  /** Another controller sees to it. */
  reset(): void;
  close(): Promise<void>;
}

/** Namespaces whose pods ask for sidecars, or have them. */
export function pullSecretNamespaces(snapshot: Snapshot, meshNamespace: string): ReadonlySet<string> {
  const labelled = objectsOf(snapshot, "Namespace")
    .filter((object) => isInjectionAsked({}, object.metadata.labels ?? {}))
    .map((object) => object.metadata.name);
  const running = snapshot.pods.filter((pod) => pod.meshed).map((pod) => pod.namespace);
  return new Set(
    [...labelled, ...running].filter((name) => name !== meshNamespace && !systemNamespaces.includes(name)),
  );
}

/** A namespace that is gone, or on its way out, needs nothing. */
function isGone(error: unknown): boolean {
  return isStatus(error, 404) || isTerminating(error);
}

function folderOf(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/secrets`;
}

async function make(api: PullSecretsOptions["api"], namespace: string, content: Secret): Promise<void> {
  const body = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: pullSecretName,
      namespace,
      labels: {
        "app.kubernetes.io/part-of": "nginx-mesh",
        "app.kubernetes.io/managed-by": "nginx-mesh-controller",
      },
    },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": Buffer.from(content.reveal()).toString("base64") },
  };
  await api.send({ method: "POST", path: folderOf(namespace), body });
}

async function remove(api: PullSecretsOptions["api"], namespace: string): Promise<void> {
  try {
    await api.send({ method: "DELETE", path: `${folderOf(namespace)}/${pullSecretName}` });
  } catch (error) {
    if (!isGone(error)) {
      throw error;
    }
  }
}

/** `trusted`: what is there is known to be of this content. */
async function ensure(
  api: PullSecretsOptions["api"],
  namespace: string,
  content: Secret,
  trusted: boolean,
): Promise<void> {
  try {
    await make(api, namespace, content);
  } catch (error) {
    if (isGone(error)) {
      return;
    }
    if (!isStatus(error, 409)) {
      throw error;
    }
    if (!trusted) {
      await remove(api, namespace);
      await make(api, namespace, content);
    }
  }
}

function explain(error: unknown, namespace: string): string {
  const what = `cannot copy the registry's credentials, Secret ${pullSecretName}, to the namespace ${namespace}, so its pods may not pull the sidecar's image`;
  return isStatus(error, 403)
    ? `${what}: access is denied; let the controller's ServiceAccount "create" the resource "secrets" in all namespaces, and "delete" those of this name (${error.message})`
    : `${what}: ${(error as Error).message}`;
}

export function keepPullSecrets(options: PullSecretsOptions): PullSecrets {
  const { api, pauses = usualPauses } = options;
  /** Hash of the content that each namespace got from this process. */
  const given = new Map<string, string>();
  let wanted: ReadonlySet<string> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let closed = false;

  /** Why one of them is not as it should be; the others are seen to all the same. */
  const inEach = async (
    namespaces: Iterable<string>,
    act: (namespace: string) => Promise<void>,
  ): Promise<string[]> => {
    const failures: string[] = [];
    for (const namespace of namespaces) {
      try {
        await act(namespace);
      } catch (error) {
        failures.push(explain(error, namespace));
      }
    }
    return failures;
  };
  const pass = async (namespaces: ReadonlySet<string>): Promise<string[]> => {
    const content = options.content();
    const hash = createHash("sha256").update(content.reveal()).digest("hex");
    const made = await inEach(namespaces, async (namespace) => {
      await ensure(api, namespace, content, given.get(namespace) === hash);
      given.set(namespace, hash);
    });
    const left = [...given.keys()].filter((namespace) => !namespaces.has(namespace));
    const removed = await inEach(left, async (namespace) => {
      await remove(api, namespace);
      given.delete(namespace);
    });
    return [...made, ...removed];
  };
  const run = async (): Promise<void> => {
    while (again && wanted !== undefined && !closed) {
      again = false;
      const failures = await pass(wanted).catch((error: unknown) => [(error as Error).message]);
      options.onError(failures[0] ?? "");
      clearTimeout(timer);
      timer = setTimeout(start, failures.length > 0 ? pauses.retry : pauses.look);
    }
  };
  const start = (): void => {
    again = true;
    running ??= run().finally(() => (running = undefined));
  };
  const isSame = (a: ReadonlySet<string> | undefined, b: ReadonlySet<string>): boolean =>
    a !== undefined && a.size === b.size && [...b].every((each) => a.has(each));

  return {
    update(namespaces) {
      const isNew = !isSame(wanted, namespaces);
      wanted = namespaces;
      if (isNew) {
        start();
      }
    },
    reset() {
      clearTimeout(timer);
      wanted = undefined;
      given.clear();
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
      clearTimeout(timer);
    },
  };
}
