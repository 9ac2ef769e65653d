/** What the injector adds to a pod: containers and volumes. */
import type { Owner } from "../api/owner.ts";
import {
  drainPath,
  environment,
  initProgram,
  natsServiceAccount,
  paths,
  ports,
  sidecarUser,
  spiffeId,
} from "../wire/sidecar.ts";
import type { InjectSettings } from "./settings.ts";

export const containerNames = {
  sidecar: "nginx-mesh-sidecar",
  init: "nginx-mesh-init",
} as const;

export const volumeNames = {
  runtime: "nginx-mesh-runtime",
  workloadApi: "nginx-mesh-workload-api",
  capture: "nginx-mesh-capture",
  noToken: "nginx-mesh-no-token",
} as const;

/** The capture rules: annotations of the pod, which the init container sees as files. */
export const captureAnnotations = {
  ipv4: "injector.nsm.nginx.com/capture-rules-ipv4",
  ipv6: "injector.nsm.nginx.com/capture-rules-ipv6",
} as const;

const captureFolder = "/etc/nginx-mesh/capture";
/** Where the API server mounts a service account's token into every container that has nothing there. */
const tokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
const csiDriver = "csi.spiffe.io";
/** What a sidecar of one worker writes there is a process id and sockets. */
const runtimeSize = "1Mi";
/** Kubernetes expands `$(NAME)` from a variable that stands before. */
const jobNameVariable = "MESH_JOB_NAME";
/** The label that pods of a Job have in every version; the newer one has a prefix. */
const jobNameLabel = "job-name";

/** Whose pod it is: its workload, the Job whose name only its pods will know, or the pod itself. */
export type WorkloadOwner = Owner | "job" | "pod";

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}

function field(name: string, fieldPath: string): Variable {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function workloadVariables(owner: WorkloadOwner): readonly Variable[] {
  const variable = (value: string): Variable => ({ name: environment.workload, value });
  switch (owner) {
    case "job":
      return [
        field(jobNameVariable, `metadata.labels['${jobNameLabel}']`),
        variable(`job/$(${jobNameVariable})`),
      ];
    case "pod":
      return [variable(`pod/$(${environment.podName})`)];
    default:
      return [variable(`${owner.kind}/${owner.name}`)];
  }
}

function variables(settings: InjectSettings, owner: WorkloadOwner, probes: string): readonly Variable[] {
  return [
    field(environment.podName, "metadata.name"),
    field(environment.podNamespace, "metadata.namespace"),
    field(environment.podAddress, "status.podIP"),
    field(environment.serviceAccount, "spec.serviceAccountName"),
    ...workloadVariables(owner),
    { name: environment.trustDomain, value: settings.trustDomain },
    { name: environment.nats, value: settings.nats },
    {
      name: environment.natsIdentity,
      value: spiffeId(settings.trustDomain, settings.meshNamespace, natsServiceAccount),
    },
    { name: environment.probes, value: probes },
  ];
}

const statusCheck = { httpGet: { path: "/", port: ports.status }, timeoutSeconds: 5 };
/**
 * For long, as a restart mends nothing that is missing. A native sidecar has none: the kubelet would start what comes next up to two
 * seconds after the sidecar is ready, as it probes once a second and then waits for its next look at all containers.
 */
const startupProbe = { ...statusCheck, periodSeconds: 1, failureThreshold: 600 };
const noToken = { name: volumeNames.noToken, mountPath: tokenFolder, readOnly: true };

/** `probes`: value of `environment.probes`. */
export function sidecarContainer(settings: InjectSettings, owner: WorkloadOwner, probes: string): object {
  return {
    name: containerNames.sidecar,
    image: settings.sidecarImage,
    imagePullPolicy: settings.imagePullPolicy,
    ...(settings.order === "native" ? { restartPolicy: "Always" } : {}),
    env: variables(settings, owner, probes),
    ports: [{ name: "mesh-metrics", containerPort: ports.metrics, protocol: "TCP" }],
    ...(settings.order === "native" ? {} : { startupProbe }),
    readinessProbe: { ...statusCheck, periodSeconds: 10 },
    lifecycle: { preStop: { exec: { command: [paths.drain, String(ports.status), drainPath] } } },
    resources: settings.resources,
    securityContext: {
      runAsUser: sidecarUser,
      runAsGroup: sidecarUser,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      privileged: false,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: volumeNames.runtime, mountPath: paths.runtime },
      { name: volumeNames.workloadApi, mountPath: socketFolder(), readOnly: true },
      noToken,
    ],
  };
}

function socketFolder(): string {
  return paths.workloadApi.slice(0, paths.workloadApi.lastIndexOf("/"));
}

/**
 * Run once, before anything else of the pod that is captured. Where the sidecar runs already, it holds up what comes after it until
 * the sidecar is ready. One for both families: each container that ends costs up to a second until the kubelet sees it.
 */
export function initContainer(settings: InjectSettings): object {
  const restore = (program: string, file: string) => [program, "--noflush", `${captureFolder}/${file}`];
  return {
    name: containerNames.init,
    image: settings.initImage,
    imagePullPolicy: settings.imagePullPolicy,
    command: [
      initProgram,
      settings.order === "native" ? `${ports.status}` : "0",
      ...restore("/usr/sbin/iptables-restore", "ipv4"),
      ...(settings.ipv6 ? ["--", ...restore("/usr/sbin/ip6tables-restore", "ipv6")] : []),
    ],
    resources: { requests: { cpu: "10m", memory: "16Mi" } },
    securityContext: {
      // Capabilities of another user end with exec, and rules can be set with NET_ADMIN only.
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      privileged: false,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [{ name: volumeNames.capture, mountPath: captureFolder, readOnly: true }, noToken],
  };
}

export function volumesOf(settings: InjectSettings): readonly object[] {
  const rules = settings.ipv6 ? (["ipv4", "ipv6"] as const) : (["ipv4"] as const);
  const items = rules.map((family) => ({
    path: family,
    fieldRef: { fieldPath: `metadata.annotations['${captureAnnotations[family]}']` },
  }));
  return [
    { name: volumeNames.runtime, emptyDir: { medium: "Memory", sizeLimit: runtimeSize } },
    {
      name: volumeNames.workloadApi,
      ...(settings.workloadApi === "csi"
        ? { csi: { driver: csiDriver, readOnly: true } }
        : { hostPath: { path: socketFolder(), type: "DirectoryOrCreate" } }),
    },
    { name: volumeNames.capture, downwardAPI: { items, defaultMode: 0o444 } },
    { name: volumeNames.noToken, emptyDir: { medium: "Memory", sizeLimit: "4Ki" } },
  ];
}
