/** The environment of a container (Kubernetes documentation, "Define Dependent Environment Variables"). Pure. */
import * as z from "zod";
import type { Container, EnvironmentVariable } from "../api/pod.ts";
import { hostName } from "./names.ts";

/** `namespace/name` → data. */
export type ConfigMaps = ReadonlyMap<string, Readonly<Record<string, string>>>;

/** What a container's environment refers to is not there; the container starts when it is. */
export class EnvironmentError extends Error {
  override readonly name = "EnvironmentError";
}

const configMapRef = z.strictObject({ name: z.string(), optional: z.boolean().optional() });
const environmentSource = z.strictObject({ prefix: z.string().optional(), configMapRef });

/** Field `envFrom`; undefined when it has other sources than ConfigMaps. */
export function environmentSources(container: Container): z.infer<typeof environmentSource>[] | undefined {
  return z.array(environmentSource).safeParse(container.envFrom ?? []).data;
}

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

/** `""` and `{}` for what is optional and not there. Throws EnvironmentError for what has to be. */
function configMapData(
  { name, optional }: z.infer<typeof configMapRef>,
  namespace: string,
  configMaps: ConfigMaps,
): Readonly<Record<string, string>> {
  const data = configMaps.get(`${namespace}/${name}`);
  if (data === undefined && optional !== true) {
    throw new EnvironmentError(`ConfigMap ${namespace}/${name} does not exist`);
  }
  return data ?? {};
}

function configMapValue(
  { key, ...reference }: z.infer<typeof configMapRef> & { readonly key: string },
  namespace: string,
  configMaps: ConfigMaps,
): string {
  const value = configMapData(reference, namespace, configMaps)[key];
  if (value === undefined && reference.optional !== true) {
    throw new EnvironmentError(`ConfigMap ${namespace}/${reference.name} has no key "${key}"`);
  }
  return value ?? "";
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
    return configMapValue(source.configMapKeyRef, pod.namespace, configMaps);
  }
  return "";
}

/** Throws EnvironmentError, with the field, when a ConfigMap or key is missing that is not optional. */
export function environmentOf(
  container: Container,
  pod: PodFields,
  base: Readonly<Record<string, string>>,
  configMaps: ConfigMaps,
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = { ...base, HOSTNAME: hostName(pod.name) };
  const at = (field: string, action: () => void): void => {
    try {
      action();
    } catch (cause) {
      const why = (cause as Error).message;
      throw new EnvironmentError(`container ${container.name} waits: ${field}: ${why}`, { cause });
    }
  };
  for (const { prefix = "", configMapRef: reference } of environmentSources(container) ?? []) {
    at("envFrom", () => {
      for (const [key, value] of Object.entries(configMapData(reference, pod.namespace, configMaps))) {
        environment[`${prefix}${key}`] = value;
      }
    });
  }
  for (const variable of container.env ?? []) {
    at(`env["${variable.name}"]`, () => {
      environment[variable.name] = valueOf(variable, pod, configMaps, environment);
    });
  }
  return environment;
}
