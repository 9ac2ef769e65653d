/** Flags of the controller in a cluster. */
import { parseArgs } from "node:util";
import { anyAddress, podsHaveIpv6, serviceAccountFolder } from "../../cluster/kubernetes/in-cluster.ts";
import { OptionsError } from "../options.ts";

export interface KubernetesOptions {
  /** Of the control plane. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** `host:port`, as sidecars and the controller reach it. */
  readonly nats: string;
  /** Unix socket of the SPIFFE Workload API. */
  readonly workloadApi: string;
  readonly sidecarImage: string;
  readonly initImage: string;
  readonly imagePullPolicy: string;
  /** File with the registry's credentials, as a Secret's `.dockerconfigjson`; empty: the registry asks for none. */
  readonly pullSecret: string;
  /** Where the sidecar stands in a pod: `native` or `classic`. */
  readonly sidecarOrder: string;
  /** Whether pods have IPv6 addresses; when that is not said, those of this controller's pod tell. */
  readonly ipv6: boolean;
  /** Whether the API server asks for the metrics API. */
  readonly metricsApi: boolean;
  /** How the Workload API's socket comes into pods: `hostPath` or `csi`. */
  readonly podWorkloadApi: string;
  /** Address to listen at; `::` takes both families. */
  readonly listen: string;
  /** Address of the control API, whose callers are not asked who they are: a loopback address. */
  readonly controlListen: string;
  /** Folder with `token` and `ca.crt`. */
  readonly credentials: string;
}

const flags = {
  namespace: { type: "string" },
  "trust-domain": { type: "string" },
  nats: { type: "string" },
  "workload-api": { type: "string", default: "/run/spire/sockets/agent.sock" },
  "sidecar-image": { type: "string" },
  "init-image": { type: "string" },
  "image-pull-policy": { type: "string", default: "IfNotPresent" },
  "pull-secret": { type: "string", default: "" },
  "sidecar-order": { type: "string", default: "native" },
  ipv6: { type: "string", default: "auto" },
  "metrics-api": { type: "string", default: "true" },
  "pod-workload-api": { type: "string", default: "hostPath" },
  listen: { type: "string", default: "auto" },
  "control-listen": { type: "string", default: "127.0.0.1" },
  credentials: { type: "string", default: serviceAccountFolder },
} as const;

const allowed = {
  "image-pull-policy": ["Always", "IfNotPresent", "Never"],
  "sidecar-order": ["native", "classic"],
  ipv6: ["true", "false", "auto"],
  "metrics-api": ["true", "false"],
  "pod-workload-api": ["hostPath", "csi"],
} as const;

/** Throws OptionsError. */
export function readKubernetesOptions(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): KubernetesOptions {
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({ args: [...args], options: flags, strict: true }));
  } catch (error) {
    throw new OptionsError((error as Error).message, { cause: error });
  }
  const text = (name: keyof typeof flags): string => {
    const value = values[name];
    if (typeof value !== "string" || value === "") {
      throw new OptionsError(`--${name} is missing`);
    }
    return value;
  };
  const oneOf = (name: keyof typeof allowed): string => {
    const value = text(name);
    if (!(allowed[name] as readonly string[]).includes(value)) {
      throw new OptionsError(`--${name} ${value} is not one of ${allowed[name].join(", ")}`);
    }
    return value;
  };
  const nats = text("nats");
  if (!/^\S+:\d{1,5}$/.test(nats)) {
    throw new OptionsError(`--nats ${nats} is not HOST:PORT`);
  }
  const ipv6 = oneOf("ipv6");
  const listen = text("listen");
  return {
    namespace: text("namespace"),
    trustDomain: text("trust-domain"),
    nats,
    workloadApi: text("workload-api"),
    sidecarImage: text("sidecar-image"),
    initImage: text("init-image"),
    imagePullPolicy: oneOf("image-pull-policy"),
    pullSecret: typeof values["pull-secret"] === "string" ? values["pull-secret"] : "",
    sidecarOrder: oneOf("sidecar-order"),
    ipv6: ipv6 === "auto" ? podsHaveIpv6(environment) : ipv6 === "true",
    metricsApi: oneOf("metrics-api") === "true",
    podWorkloadApi: oneOf("pod-workload-api"),
    listen: listen === "auto" ? anyAddress(environment) : listen,
    controlListen: text("control-listen"),
    credentials: text("credentials"),
  };
}
