/** What a namespace looked like when its test failed. */
import { ports } from "../../src/wire/sidecar.ts";
import { attempt } from "./fixture.ts";

const sidecar = "nginx-mesh-sidecar";

interface PodSummary {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly containers: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string }[];
  };
}

/** Pods, events, the end of each container's log, and what each sidecar says of itself on its status port. */
export async function describeNamespace(name: string): Promise<string> {
  const get = async (...args: readonly string[]): Promise<string> => {
    const ended = await attempt("kubectl", ["--namespace", name, ...args], { timeout: 20 });
    return ended.stdout || ended.stderr;
  };
  const parts = [
    `==== namespace ${name}`,
    await get("get", "pods", "--output=wide"),
    await get("get", "events", "--sort-by=.lastTimestamp"),
  ];
  for (const pod of podsIn(await get("get", "pods", "--output=json"))) {
    const names = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map((each) => each.name);
    for (const container of names) {
      const log = await get("logs", pod.metadata.name, `--container=${container}`, "--tail=25");
      parts.push(`---- log of ${pod.metadata.name}/${container}`, log);
    }
    if (names.includes(sidecar)) {
      const path = `/api/v1/namespaces/${name}/pods/${pod.metadata.name}:${ports.status}/proxy/`;
      parts.push(`---- status of ${pod.metadata.name}`, await get("get", "--raw", path));
    }
  }
  return parts.join("\n");
}

function podsIn(json: string): readonly PodSummary[] {
  try {
    return (JSON.parse(json) as { items: readonly PodSummary[] }).items;
  } catch {
    return [];
  }
}
