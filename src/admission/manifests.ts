/** Everything that can be said against a set of manifests, without a cluster: rules, references, and the model made of them. */
import { annotations, isInjectionAsked } from "../api/annotations.ts";
import { identify, type MeshObject, namespaceOf } from "../api/objects.ts";
import type { Problem } from "../api/problem.ts";
import { createSnapshot } from "../cluster/snapshot.ts";
import { injectObject } from "../inject/object.ts";
import { defaultResources, type InjectSettings } from "../inject/settings.ts";
import { buildModel } from "../model/build.ts";
import { ruleProblems } from "./validation.ts";

export interface Manifests {
  readonly objects: readonly MeshObject[];
  /** What reading them found. */
  readonly problems: readonly Problem[];
  /** Whether nothing else is there: then a reference to what is not is an error. */
  readonly whole: boolean;
  readonly meshNamespace: string;
}

type Labels = Readonly<Record<string, string>>;

/** What refuses a pod does not depend on these, but for the namespace. */
function settingsFor(meshNamespace: string): InjectSettings {
  return {
    meshNamespace,
    trustDomain: "example.org",
    nats: "nats:4222",
    sidecarImage: "sidecar",
    initImage: "init",
    imagePullPolicy: "IfNotPresent",
    order: "native",
    ipv6: false,
    workloadApi: "hostPath",
    resources: defaultResources,
  };
}

/** Where the labels of an object's pods stand; for what has no pods, where they would. */
function templateLabels(object: MeshObject): { readonly labels: Labels; readonly field: string } {
  const ofTemplate = (template: { metadata?: { labels?: Labels | undefined } | undefined } | undefined) =>
    template?.metadata?.labels ?? {};
  switch (object.kind) {
    case "Pod":
      return { labels: object.metadata.labels ?? {}, field: "metadata.labels" };
    case "CronJob":
      return {
        labels: ofTemplate(object.spec.jobTemplate.spec.template),
        field: "spec.jobTemplate.spec.template.metadata.labels",
      };
    case "Deployment":
    case "StatefulSet":
    case "DaemonSet":
    case "ReplicaSet":
    case "ReplicationController":
    case "Job":
      return { labels: ofTemplate(object.spec.template), field: "spec.template.metadata.labels" };
    default:
      return { labels: {}, field: "" };
  }
}

/** Why pods that ask for a sidecar would be refused. */
function injectionProblems({ objects, meshNamespace }: Manifests): readonly Problem[] {
  const settings = settingsFor(meshNamespace);
  const labels = new Map(
    objects.flatMap((object): [string, Labels][] =>
      object.kind === "Namespace" ? [[object.metadata.name, object.metadata.labels ?? {}]] : [],
    ),
  );
  return objects
    .filter((object) =>
      isInjectionAsked(templateLabels(object).labels, labels.get(namespaceOf(object)) ?? {}),
    )
    .flatMap((object) => {
      const result = injectObject(object, { settings, ignoreIncomingPorts: [], ignoreOutgoingPorts: [] });
      // named as everywhere else: with the namespace that it will have
      return result.outcome === "refused"
        ? result.problems.map((problem) => ({ ...problem, object: identify(object) }))
        : [];
    });
}

/** Labels of namespaces and pods that mean neither yes nor no. */
function labelProblems({ objects }: Manifests): readonly Problem[] {
  return objects.flatMap((object): Problem[] => {
    const { labels, field } =
      object.kind === "Namespace"
        ? { labels: object.metadata.labels ?? {}, field: "metadata.labels" }
        : templateLabels(object);
    const value = (labels as Labels)[annotations.autoInject];
    return value === undefined || value === "enabled" || value === "disabled"
      ? []
      : [
          {
            object: identify(object),
            field: `${field}["${annotations.autoInject}"]`,
            reason: "InvalidValue",
            message: `"${value}" is neither enabled nor disabled, and counts as not set`,
            severity: "error",
          },
        ];
  });
}

/** What the mesh itself would say, but for pods that do not run yet and what it does not know. */
function modelProblems(manifests: Manifests): readonly Problem[] {
  const snapshot = createSnapshot({
    objects: manifests.objects,
    pods: [],
    services: [],
    serviceRanges: [],
    problems: [],
  });
  const { problems } = buildModel(snapshot, { trustDomain: "example.org", statisticsInterval: 1 });
  // whether a Service has pods tells only who sees all of them
  return manifests.whole ? problems : problems.filter(({ reason }) => reason !== "NoEndpoints");
}

/** Of several that say the same of one field the first, which is the rules': they tell how to mend it. */
function once(problems: readonly Problem[]): readonly Problem[] {
  const byPlace = new Map<string, Problem>();
  for (const problem of problems) {
    const place = `${problem.object} ${problem.field} ${problem.reason}`;
    if (!byPlace.has(place)) {
      byPlace.set(place, problem);
    }
  }
  const rank = (problem: Problem) => `${problem.severity} ${problem.object} ${problem.field}`;
  return [...byPlace.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Errors first, each once. Kinds that are not the mesh's are none of its business. */
export function validateManifests(manifests: Manifests): readonly Problem[] {
  const { objects, problems, whole } = manifests;
  const all = [
    ...problems.filter(({ reason, severity }) => reason !== "UnknownKind" || severity === "error"),
    ...objects.flatMap((object) => ruleProblems(object, objects)),
    ...labelProblems(manifests),
    ...injectionProblems(manifests),
    ...modelProblems(manifests),
  ];
  return once(all).map((problem) =>
    problem.reason === "NotFound" ? { ...problem, severity: whole ? "error" : "warning" } : problem,
  );
}
