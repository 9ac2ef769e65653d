/** What is left to do after the control plane is gone. Pure. */
import { pullSecretName } from "../controller/kubernetes/pull-secrets.ts";
import type { AnyObject, Pod } from "./kube-objects.ts";

const kinds = ["deployment", "statefulset", "daemonset"] as const;

/** `kubectl rollout restart` for each workload with a sidecar, and what has none to be restarted by. */
export function restartsOf(pods: readonly Pod[]): readonly string[] {
  const lines = pods.map(({ metadata }) => {
    const kind = kinds.find((each) => metadata.labels[`nsm.nginx.com/${each}`] !== undefined);
    return kind === undefined
      ? `kubectl -n ${metadata.namespace} delete pod ${metadata.name}   # and make it anew, where nothing does so`
      : `kubectl -n ${metadata.namespace} rollout restart ${kind} ${metadata.labels[`nsm.nginx.com/${kind}`]}`;
  });
  return [...new Set(lines)].sort();
}

/** The namespaces whose new pods would be injected. */
export function labelledNamespaces(namespaces: readonly AnyObject[]): readonly string[] {
  return namespaces
    .filter(({ metadata }) => metadata.labels["injector.nsm.nginx.com/auto-inject"] === "enabled")
    .map(({ metadata }) => `kubectl label namespace ${metadata.name} injector.nsm.nginx.com/auto-inject-`)
    .sort();
}

export interface Remains {
  readonly pods: readonly Pod[];
  readonly namespaces: readonly AnyObject[];
  /** The mesh's namespace when it stays; undefined: it was deleted. */
  readonly namespace: string | undefined;
  /** Volume claims of the mesh's namespace that stay. */
  readonly claims: readonly string[];
  /** Namespaces of applications that have a copy of the registry's credentials. */
  readonly credentials: readonly string[];
}

export function remainsText({ pods, namespaces, namespace, claims, credentials }: Remains): string {
  const restarts = restartsOf(pods);
  const sections = [
    restarts.length === 0
      ? ""
      : `Pods with a sidecar go on with what they know, but learn of no new Services and addresses, and get no new certificates when theirs end. To make them anew without one:\n${indent([...labelledNamespaces(namespaces), ...restarts])}`,
    restarts.length === 0 && labelledNamespaces(namespaces).length > 0
      ? `Namespaces are still labelled:\n${indent(labelledNamespaces(namespaces))}`
      : "",
    credentials.length === 0
      ? ""
      : `The registry's credentials are kept where pods with a sidecar are pulled with them. To delete them when no pod has one:\n${indent(credentials.map((name) => `kubectl -n ${name} delete secret ${pullSecretName}`))}`,
    `The kinds of the mesh and the objects of these kinds are kept. To delete them all:\n${indent([
      "kubectl delete crd trafficsplits.split.smi-spec.io traffictargets.access.smi-spec.io httproutegroups.specs.smi-spec.io tcproutes.specs.smi-spec.io ratelimits.specs.smi.nginx.com circuitbreakers.specs.smi.nginx.com meshconfigs.nsm.nginx.com meshconfigclasses.nsm.nginx.com",
    ])}`,
    namespace === undefined || claims.length === 0
      ? ""
      : `SPIRE's volume is kept, with the keys of the mesh's CA:\n${indent(claims.map((claim) => `kubectl -n ${namespace} delete pvc ${claim}`))}`,
    namespace === undefined ? "" : `The namespace ${namespace} was not made by this tool and is kept.`,
  ];
  return `${sections.filter((section) => section !== "").join("\n")}\n`;
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}
