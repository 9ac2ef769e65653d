/** What the control plane follows. The chart's ClusterRole lets it get, list and watch exactly these. */
import type { Kind } from "../../api/objects.ts";

export interface Resource {
  /** Empty: the core group. */
  readonly group: string;
  /** Preferred first; others are taken where an older or newer release of the kind is installed. */
  readonly versions: readonly string[];
  readonly plural: string;
  readonly kind: string;
  /** Only objects of this namespace; undefined: of all. */
  readonly namespace?: string;
  /** A cluster may lack it. */
  readonly optional: boolean;
}

function core(plural: string, kind: string): Resource {
  return { group: "", versions: ["v1"], plural, kind, optional: false };
}

function inGroup(group: string, plural: string, kind: string): Resource {
  return { group, versions: ["v1"], plural, kind, optional: false };
}

/** A kind of the mesh: the control plane waits for no definition, as the chart's CRDs may come later or go. */
function own(group: string, versions: readonly string[], plural: string, kind: Kind): Resource {
  return { group, versions, plural, kind, optional: true };
}

export const pods = core("pods", "Pod");
export const endpointSlices = inGroup("discovery.k8s.io", "endpointslices", "EndpointSlice");
export const serviceAccounts = core("serviceaccounts", "ServiceAccount");
/** Kubernetes 1.33 and newer; before, where it was switched on. */
export const serviceCidrs: Resource = {
  ...inGroup("networking.k8s.io", "servicecidrs", "ServiceCIDR"),
  versions: ["v1", "v1beta1"],
  optional: true,
};

/** Resources whose objects are those of a snapshot, of a mesh whose own settings are in `namespace`. */
export function objectResources(namespace: string): readonly Resource[] {
  return [
    core("namespaces", "Namespace"),
    core("services", "Service"),
    inGroup("apps", "deployments", "Deployment"),
    inGroup("apps", "statefulsets", "StatefulSet"),
    inGroup("apps", "daemonsets", "DaemonSet"),
    inGroup("apps", "replicasets", "ReplicaSet"),
    inGroup("batch", "jobs", "Job"),
    own("split.smi-spec.io", ["v1alpha3"], "trafficsplits", "TrafficSplit"),
    own("specs.smi-spec.io", ["v1alpha3"], "httproutegroups", "HTTPRouteGroup"),
    own("specs.smi-spec.io", ["v1alpha3"], "tcproutes", "TCPRoute"),
    own("access.smi-spec.io", ["v1alpha2"], "traffictargets", "TrafficTarget"),
    own("specs.smi.nginx.com", ["v1alpha2", "v1alpha1"], "ratelimits", "RateLimit"),
    own("specs.smi.nginx.com", ["v1alpha1"], "circuitbreakers", "CircuitBreaker"),
    { ...own("nsm.nginx.com", ["v1alpha2"], "meshconfigs", "MeshConfig"), namespace },
  ];
}

export function apiVersionOf(resource: Resource, version: string): string {
  return resource.group === "" ? version : `${resource.group}/${version}`;
}

/** Path of all objects of the resource. */
export function resourcePath(resource: Resource, version: string): string {
  const root = resource.group === "" ? `/api/${version}` : `/apis/${resource.group}/${version}`;
  const within = resource.namespace === undefined ? "" : `/namespaces/${resource.namespace}`;
  return `${root}${within}/${resource.plural}`;
}

/** As people write it: `trafficsplits.split.smi-spec.io`. */
export function resourceName(resource: Resource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}
