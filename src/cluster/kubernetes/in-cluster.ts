/** Where the API server is, and who this pod is to it (Kubernetes documentation, "Accessing the API from a Pod"). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ApiServerOptions } from "./api-server.ts";

/** Where the kubelet puts a pod's token and the API server's authority. */
export const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
/** The kubelet replaces the token long before it expires; milliseconds. */
const rereadMilliseconds = 30_000;

/** This program does not run in a pod with a service account. */
export class InClusterError extends Error {
  override readonly name = "InClusterError";
}

function read(folder: string, name: string): string {
  const file = join(folder, name);
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new InClusterError(
      `cannot read ${file}, the pod's credentials for the API server: ${(error as Error).message}; the pod needs a service account whose token is mounted`,
      { cause: error },
    );
  }
}

/** Throws InClusterError. `folder` is that of the service account; the address is in the environment of every pod. */
export function inCluster(
  environment: Readonly<Record<string, string | undefined>>,
  folder: string = serviceAccountFolder,
  now: () => number = Date.now,
): ApiServerOptions {
  const host = environment["KUBERNETES_SERVICE_HOST"];
  const port = Number(environment["KUBERNETES_SERVICE_PORT_HTTPS"] ?? environment["KUBERNETES_SERVICE_PORT"]);
  if (host === undefined || host === "" || !Number.isInteger(port)) {
    throw new InClusterError(
      "cannot find the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is not a pod",
    );
  }
  let known = { ca: read(folder, "ca.crt"), token: read(folder, "token") };
  let readAt = now();
  return {
    host,
    port,
    credentials() {
      if (now() - readAt > rereadMilliseconds) {
        readAt = now();
        try {
          known = { ca: read(folder, "ca.crt"), token: read(folder, "token") };
        } catch {
          // the files are replaced at this moment; those of before are still good
        }
      }
      return known;
    },
  };
}

/**
 * Whether pods of this cluster have IPv6 addresses, as this one does or does not: `POD_IPS` holds its `status.podIPs`, with a comma
 * between them.
 */
export function podsHaveIpv6(environment: NodeJS.ProcessEnv): boolean {
  return (environment["POD_IPS"] ?? "").includes(":");
}

/** All addresses of the families that pods have: `::` takes both, and does not exist where the kernel has no IPv6. */
export function anyAddress(environment: NodeJS.ProcessEnv): string {
  return podsHaveIpv6(environment) ? "::" : "0.0.0.0";
}
