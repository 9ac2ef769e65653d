/** What the chart makes of values. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseKubernetesYaml } from "../../src/api/yaml.ts";
import { attempt, chart, type Ended, helms, kubeVersion } from "./programs.ts";

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // oxlint-disable-next-line no-explicit-any -- of any kind; a test knows which
  readonly [field: string]: any;
}

export interface RenderOptions {
  readonly helm?: string;
  readonly namespace?: string;
  readonly kubeVersion?: string;
}

export function template(values: object, options: RenderOptions = {}): Ended {
  const folder = mkdtempSync(join(tmpdir(), "chart-"));
  const file = join(folder, "values.json");
  writeFileSync(file, JSON.stringify(values));
  try {
    return attempt(options.helm ?? helms["helm 3"], [
      "template",
      "nginx-mesh",
      chart,
      `--namespace=${options.namespace ?? "nginx-mesh"}`,
      `--kube-version=${options.kubeVersion ?? kubeVersion}`,
      `--values=${file}`,
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Throws with what helm says. */
export function render(values: object, options: RenderOptions = {}): string {
  const ended = template(values, options);
  if (ended.status !== 0) {
    throw new Error(`helm template: ${ended.stderr}`);
  }
  return ended.stdout;
}

export function objectsOf(text: string): readonly Rendered[] {
  return parseKubernetesYaml(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

export function find(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) {
    throw new Error(`there is no ${kind} ${name}`);
  }
  return found;
}

export interface PodTemplate {
  readonly owner: string;
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  // oxlint-disable-next-line no-explicit-any -- a pod's spec
  readonly spec: any;
}

export function podsOf(objects: readonly Rendered[]): readonly PodTemplate[] {
  return objects
    .filter(({ kind }) => ["Deployment", "DaemonSet", "StatefulSet", "Job"].includes(kind))
    .map((object) => ({ owner: object.metadata.name, ...object["spec"].template }) as PodTemplate);
}

// oxlint-disable-next-line no-explicit-any -- containers
export function containersOf(pod: PodTemplate): readonly any[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
}
