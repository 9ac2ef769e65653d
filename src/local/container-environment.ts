/** The environment of a container (Kubernetes documentation, "Define Dependent Environment Variables"). Pure. */
import type { Container, EnvironmentVariable } from "../api/pod.ts";

/** `namespace/name` → data. */
export type ConfigMaps = ReadonlyMap<string, Readonly<Record<string, string>>>;

export interface PodFields {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

function field(path: string, pod: PodFields): string {
  const indexed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (indexed !== null) {
    return pod[indexed[1] as "labels" | "annotations"][indexed[2]!] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.name;
    case "metadata.namespace":
      return pod.namespace;
    case "spec.serviceAccountName":
      return pod.serviceAccount;
    case "status.podIP":
    case "status.podIPs":
    case "status.hostIP":
      return pod.address;
    default:
      return "";
  }
}

/** `$(NAME)` by the variables so far; `$$(NAME)` stays `$(NAME)`; an unknown name stays as it is. */
export function expand(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)/g, (whole, name: string | undefined) => {
    if (whole === "$$") {
      return "$";
    }
    return name !== undefined && Object.hasOwn(environment, name) ? environment[name]! : whole;
  });
}

function valueOf(
  variable: EnvironmentVariable,
  pod: PodFields,
  configMaps: ConfigMaps,
  soFar: Readonly<Record<string, string>>,
): string {
  if (variable.value !== undefined) {
    return expand(variable.value, soFar);
  }
  const source = variable.valueFrom;
  if (source?.fieldRef !== undefined) {
    return field(source.fieldRef.fieldPath, pod);
  }
  if (source?.configMapKeyRef !== undefined) {
    return (
      configMaps.get(`${pod.namespace}/${source.configMapKeyRef.name}`)?.[source.configMapKeyRef.key] ?? ""
    );
  }
  return "";
}

export function environmentOf(
  container: Container,
  pod: PodFields,
  base: Readonly<Record<string, string>>,
  configMaps: ConfigMaps,
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = { ...base, HOSTNAME: pod.name };
  for (const variable of container.env ?? []) {
    environment[variable.name] = valueOf(variable, pod, configMaps, environment);
  }
  return environment;
}
