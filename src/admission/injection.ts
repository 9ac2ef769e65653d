/** The webhook `/inject`: what becomes of a pod that is created. */
import { annotations, isInjectionAsked, systemNamespaces } from "../api/annotations.ts";
import { jsonPatch } from "../inject/patch.ts";
import { injectPod } from "../inject/pod.ts";
import type { PodProblem } from "../inject/refusal.ts";
import type { InjectSettings } from "../inject/settings.ts";
import type { AdmissionRequest, Decision } from "./review.ts";

type Labels = Readonly<Record<string, string>>;

export interface InjectionWorld {
  readonly settings: () => InjectSettings;
}

function sentence({ field, message }: PodProblem): string {
  return field === "" ? message : `${field}: ${message}`;
}

/** The map if it is one, for reading labels before the pod as a whole is parsed. */
function labelsOf(pod: unknown): Labels {
  const labels = (pod as { metadata?: { labels?: unknown } } | null)?.metadata?.labels;
  return typeof labels === "object" && labels !== null ? (labels as Labels) : {};
}

/** Never throws. */
export function decideInjection(request: AdmissionRequest, world: InjectionWorld): Decision {
  const { kind, operation, object, namespace = "default" } = request;
  if (kind.group !== "" || kind.kind !== "Pod" || operation !== "CREATE") {
    return { allowed: true };
  }
  const settings = world.settings();
  // the API server asks for those that its selectors find, and hears of a namespace's labels before we do
  if (!isInjectionAsked(labelsOf(object), { [annotations.autoInject]: "enabled" })) {
    return { allowed: true };
  }
  if (namespace === settings.meshNamespace || systemNamespaces.includes(namespace)) {
    return {
      allowed: true,
      warnings: [`nginx-mesh: pods of namespace ${namespace} get no sidecar, whatever their labels say`],
    };
  }
  const result = injectPod(object, {
    settings,
    namespace,
    owner: undefined,
    admitted: true,
    ignoreIncomingPorts: [],
    ignoreOutgoingPorts: [],
  });
  switch (result.outcome) {
    case "unchanged":
      return { allowed: true };
    case "injected":
      return {
        allowed: true,
        patch: jsonPatch(result.operations),
        warnings: result.warnings.map((warning) => `nginx-mesh: ${sentence(warning)}`),
      };
    case "refused":
      return {
        allowed: false,
        message: `the pod cannot have the sidecar that ${annotations.autoInject} asks for: ${result.problems.map(sentence).join("; ")}. A pod with the label ${annotations.autoInject}: disabled runs without the mesh`,
      };
  }
}
