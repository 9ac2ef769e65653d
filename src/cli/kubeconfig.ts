/** Which cluster a command is about, and how this user proves who they are to it. */
import { existsSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

import type { KubeConfig } from "@kubernetes/client-node";

import { CommandError } from "./errors.ts";

export interface Cluster {
  /** For messages: `cluster "kind" (https://127.0.0.1:6443)`. */
  readonly name: string;
  readonly server: URL;
  /** Arguments for other programs, so that they talk to the same cluster. */
  readonly files: readonly string[];
  /** Name of the context of the kubeconfig. */
  readonly context: string;
  /** TLS settings and headers for a request. Throws CommandError: an exec plugin failed, a certificate cannot be read. */
  readonly credentials: () => Promise<RequestOptions>;
}

export interface KubeconfigPlace {
  /** `--kubeconfig`. */
  readonly kubeconfig?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const tokenOfPod = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** Files as kubectl looks for them: the flag alone, else `$KUBECONFIG` (several, missing ones are skipped), else ~/.kube/config. */
function wantedFiles({ kubeconfig, environment = process.env }: KubeconfigPlace): readonly string[] {
  if (kubeconfig !== undefined) {
    return [kubeconfig];
  }
  const listed = (environment.KUBECONFIG ?? "").split(delimiter).filter((file) => file !== "");
  return listed.length > 0 ? listed : [join(environment.HOME ?? homedir(), ".kube", "config")];
}

/** Whether there is something that names a cluster: a kubeconfig, or the service account of a pod. */
export function namesCluster(place: KubeconfigPlace): boolean {
  return wantedFiles(place).some((file) => existsSync(file)) || existsSync(tokenOfPod);
}

/** The cluster of the current context. Throws CommandError. */
export async function loadCluster(place: KubeconfigPlace): Promise<Cluster> {
  // loaded when needed: local mode and completion do without this large library
  const { KubeConfig: Loader } = await import("./kubeconfig-loader.ts");
  const wanted = wantedFiles(place);
  const files = wanted.filter((file) => existsSync(file));
  if (files.length > 0) {
    return clusterOf(
      merge(files, () => new Loader()),
      files,
    );
  }
  if (place.kubeconfig === undefined && existsSync(tokenOfPod)) {
    const config = new Loader();
    config.loadFromCluster();
    return clusterOf(config, []);
  }
  throw new CommandError(
    `there is no kubeconfig: ${wanted.join(", ")} does not exist; name one with --kubeconfig or $KUBECONFIG`,
  );
}

/** What comes first counts, as with kubectl. */
function merge(files: readonly string[], create: () => KubeConfig): KubeConfig {
  const merged = create();
  for (const file of files) {
    const one = create();
    try {
      one.loadFromFile(file);
    } catch (error) {
      throw new CommandError(`cannot read the kubeconfig ${file}: ${(error as Error).message}`, {
        cause: error,
      });
    }
    one.clusters.filter(({ name }) => merged.getCluster(name) === null).forEach((c) => merged.addCluster(c));
    one.users.filter(({ name }) => merged.getUser(name) === null).forEach((u) => merged.addUser(u));
    one.contexts
      .filter(({ name }) => merged.getContextObject(name) === null)
      .forEach((c) => merged.addContext(c));
    if (!merged.currentContext) {
      merged.setCurrentContext(one.currentContext);
    }
  }
  return merged;
}

function clusterOf(config: KubeConfig, files: readonly string[]): Cluster {
  const where = files.length === 0 ? "the pod's service account" : `the kubeconfig ${files.join(", ")}`;
  if (!config.currentContext) {
    throw new CommandError(
      `${where} has no current context; choose one with "kubectl config use-context NAME"`,
    );
  }
  const context = config.getContextObject(config.currentContext);
  if (context === null) {
    throw new CommandError(
      `${where} has no context "${config.currentContext}", which its current-context names`,
    );
  }
  const cluster = config.getCluster(context.cluster);
  if (cluster === null) {
    throw new CommandError(
      `${where} has no cluster "${context.cluster}", which its context "${context.name}" names`,
    );
  }
  if (!URL.canParse(cluster.server)) {
    throw new CommandError(`${where}: the server of cluster "${cluster.name}" is no URL: ${cluster.server}`);
  }
  return {
    name: `cluster "${cluster.name}" (${cluster.server})`,
    server: new URL(cluster.server),
    files,
    context: config.currentContext,
    credentials: () => credentialsOf(config, where),
  };
}

async function credentialsOf(config: KubeConfig, where: string): Promise<RequestOptions> {
  const user = config.getCurrentUser();
  if (user?.exec) {
    // what client-go gives to plugins; several refuse to work without it
    process.env.KUBERNETES_EXEC_INFO = JSON.stringify({
      kind: "ExecCredential",
      apiVersion: user.exec.apiVersion,
      spec: { interactive: false },
    });
  }
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    const { message } = error as Error;
    const command = user?.exec?.command as string | undefined;
    const hint = user?.exec?.installHint as string | undefined;
    throw new CommandError(
      command === undefined
        ? `cannot use the credentials of user "${user?.name ?? ""}" of ${where}: ${message}`
        : `the credential plugin "${command}" of ${where} failed: ${message.trim()}${hint === undefined ? "" : `\n${hint.trim()}`}`,
      { cause: error },
    );
  }
  return options;
}
