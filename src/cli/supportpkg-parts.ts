/** What a support package holds: names of files, and where their contents come from. Pure. */
import type { Pod } from "./kube-objects.ts";

/** How a list of objects is made safe. */
export type Cleaning = "own" | "application";

export interface ObjectFile {
  readonly file: string;
  /** Path of the API. */
  readonly path: string;
  readonly cleaning: Cleaning;
}

export interface LogFile {
  readonly file: string;
  readonly path: string;
}

const ofNamespace = [
  ["pods", "/api/v1"],
  ["services", "/api/v1"],
  ["configmaps", "/api/v1"],
  ["serviceaccounts", "/api/v1"],
  ["persistentvolumeclaims", "/api/v1"],
  ["events", "/api/v1"],
  ["deployments", "/apis/apps/v1"],
  ["statefulsets", "/apis/apps/v1"],
  ["daemonsets", "/apis/apps/v1"],
  ["replicasets", "/apis/apps/v1"],
  ["endpointslices", "/apis/discovery.k8s.io/v1"],
  ["networkpolicies", "/apis/networking.k8s.io/v1"],
  ["poddisruptionbudgets", "/apis/policy/v1"],
  ["leases", "/apis/coordination.k8s.io/v1"],
] as const;

const ofCluster = [
  ["namespaces", "/api/v1"],
  ["nodes", "/api/v1"],
  ["mutatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1"],
  ["validatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1"],
  ["storageclasses", "/apis/storage.k8s.io/v1"],
  ["customresourcedefinitions", "/apis/apiextensions.k8s.io/v1"],
  ["apiservices", "/apis/apiregistration.k8s.io/v1"],
  ["meshconfigs", "/apis/nsm.nginx.com/v1alpha2"],
  ["meshconfigclasses", "/apis/nsm.nginx.com/v1alpha2"],
  ["trafficsplits", "/apis/split.smi-spec.io/v1alpha3"],
  ["traffictargets", "/apis/access.smi-spec.io/v1alpha2"],
  ["httproutegroups", "/apis/specs.smi-spec.io/v1alpha3"],
  ["tcproutes", "/apis/specs.smi-spec.io/v1alpha3"],
  ["ratelimits", "/apis/specs.smi.nginx.com/v1alpha2"],
  ["circuitbreakers", "/apis/specs.smi.nginx.com/v1alpha1"],
  ["clusterspiffeids", "/apis/spire.spiffe.io/v1alpha1"],
] as const;

/** Secrets are not among them. */
export function objectFiles(namespace: string, injectedPods: string): readonly ObjectFile[] {
  return [
    ...ofNamespace.map(([resource, root]) => ({
      file: `objects/${namespace}/${resource}.json`,
      path: `${root}/namespaces/${namespace}/${resource}`,
      cleaning: "own" as const,
    })),
    ...ofCluster.map(([resource, root]) => ({
      file: `objects/${resource}.json`,
      path: `${root}/${resource}`,
      cleaning: "own" as const,
    })),
    { file: "objects/injected-pods.json", path: injectedPods, cleaning: "application" },
  ];
}

/** A name of at most 90 bytes; a tar archive's holds 100. */
export function shortName(name: string): string {
  if (name.length <= 90) {
    return name;
  }
  let hash = 5381;
  for (const char of name) {
    hash = (hash * 33 + char.charCodeAt(0)) >>> 0;
  }
  return `${name.slice(0, 80)}~${hash.toString(16).padStart(8, "0")}`;
}

/** Lines from the end of each log, and bytes at most. */
const tail = "tailLines=20000&limitBytes=4194304";

/** The log of a container, and that of the one before when it was restarted. */
function containerLogs(pod: Pod, container: string, restarts: number): LogFile[] {
  const { namespace, name } = pod.metadata;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/log?container=${container}&timestamps=true&${tail}`;
  const file = `logs/${namespace}/${shortName(`${name}.${container}`)}`;
  return [
    { file: `${file}.log`, path },
    ...(restarts > 0 ? [{ file: `${file}.before.log`, path: `${path}&previous=true` }] : []),
  ];
}

/** Logs of all containers of the control plane's pods, and of the mesh's containers of the others. */
export function logFiles(own: readonly Pod[], injected: readonly Pod[]): readonly LogFile[] {
  const logs = (pod: Pod, wanted: (name: string) => boolean): LogFile[] => {
    const statuses = [...pod.status.initContainerStatuses, ...pod.status.containerStatuses];
    return [...pod.spec.initContainers, ...pod.spec.containers]
      .filter(({ name }) => wanted(name))
      .flatMap(({ name }) => {
        const restarts = statuses.find((status) => status.name === name)?.restartCount ?? 0;
        return containerLogs(pod, name, restarts);
      });
  };
  return [
    ...own.flatMap((pod) => logs(pod, () => true)),
    ...injected.flatMap((pod) =>
      logs(pod, (name) => name === "nginx-mesh-sidecar" || name === "nginx-mesh-init"),
    ),
  ];
}

/** What the package says of itself. */
export function readme(about: {
  readonly version: string;
  readonly time: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly sidecarLogs: boolean;
}): string {
  return `Support package of the mesh in namespace ${about.namespace} of ${about.cluster}
made by nginx-meshctl ${about.version} at ${about.time}

controller/  what the controller says of itself: status, problems, services, the whole configuration, traffic
objects/     Kubernetes' objects of the mesh's namespace, of the cluster, and the pods with a sidecar
logs/        of the control plane's containers${about.sidecarLogs ? ", and of the sidecars" : "; those of the sidecars were left out by --disable-sidecar-logs"}
errors.txt   what could not be had, and why; not there: nothing was missing

Secrets were not read. Of applications' containers only names, images and ports are here. Keys, tokens and passwords that
were found in texts are replaced by "<redacted>". Names, addresses and paths of requests are here: look through it before you pass it on.
`;
}
