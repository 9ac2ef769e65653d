/** How soon another endpoint is used everywhere: an EndpointSlice is moved between two pods while clients ask. */
import { setTimeout as sleep } from "node:timers/promises";
import { appContainer } from "../../test/kubernetes/app.ts";
import { kubectl, type Namespace, until } from "../../test/kubernetes/fixture.ts";
import { figure, type Figure } from "../figures.ts";
import type { Api } from "./api.ts";

const changes = 100;
const clients = 3;
const service = "moved";

interface Seen {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly pod: string;
}

function slice(address: string): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: service, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

function watcher(number: number): object {
  const args = ["watch", "-url", `http://${service}/`];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `watcher-${number}`, labels: { app: "watcher" } },
    spec: { terminationGracePeriodSeconds: 1, containers: [appContainer(args)] },
  };
}

async function seenBy(namespace: Namespace, number: number): Promise<readonly Seen[]> {
  const log = await kubectl("--namespace", namespace.name, "logs", `watcher-${number}`, "--container=app");
  return log.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Seen] : []));
}

/** `targets`: two pods that serve, by name and address. */
export async function measureEndpoints(
  api: Api,
  namespace: Namespace,
  targets: readonly { readonly name: string; readonly address: string }[],
): Promise<Figure> {
  const ports = [{ name: "http", port: 80, targetPort: 8080 }];
  await namespace.apply(
    { apiVersion: "v1", kind: "Service", metadata: { name: service }, spec: { ports } },
    slice(targets[0]!.address),
    ...Array.from({ length: clients }, (_, number) => watcher(number)),
  );
  const everybody = Array.from({ length: clients }, (_, number) => number);
  for (const number of everybody) {
    await until(`watcher-${number} is answered`, 60, async () =>
      (await seenBy(namespace, number)).length > 0 ? true : undefined,
    );
  }
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace.name}/endpointslices/${service}`;
  const sent: Seen[] = [];
  for (let change = 1; change <= changes; change++) {
    const { name, address } = targets[change % 2]!;
    sent.push({ at: Date.now(), pod: name });
    await api.request("PATCH", path, slice(address));
    await sleep(400);
  }
  const seen = await Promise.all(everybody.map((number) => seenBy(namespace, number)));
  const delays = sent.map(({ at, pod }, index) => {
    const end = sent[index + 1]?.at ?? Number.POSITIVE_INFINITY;
    const firsts = seen.map((each) => each.find((answer) => answer.pod === pod && answer.at >= at));
    const missing = firsts.findIndex((first) => first === undefined || first.at > end);
    if (missing >= 0) {
      throw new Error(
        `watcher-${missing} did not see change ${index + 1} of ${service}'s EndpointSlice in time`,
      );
    }
    return Math.max(...firsts.map((first) => first!.at)) - at;
  });
  const title = `an EndpointSlice's change in force in ${clients} sidecars (p99 of the changes)`;
  return figure({ metric: "k8s-endpoints", title, unit: "ms", goal: 100 }, delays, 0.99);
}
