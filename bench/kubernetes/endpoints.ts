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

interface Sent extends Seen {
  /** When the API server had it: its answer, or the event of a watch, whichever came first. */
  readonly event: number;
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

/** Moves the slice from one pod to the other and back. */
async function moves(
  api: Api,
  namespace: string,
  targets: readonly { readonly name: string; readonly address: string }[],
): Promise<readonly Sent[]> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  const events: number[] = [];
  const selector = encodeURIComponent(`metadata.name=${service}`);
  const unwatch = await api.watch(`${path}?watch=1&fieldSelector=${selector}`, () => events.push(Date.now()));
  await sleep(500);
  const sent: Sent[] = [];
  for (let change = 1; change <= changes; change++) {
    const { name, address } = targets[change % 2]!;
    const at = Date.now();
    await api.request("PATCH", `${path}/${service}`, slice(address));
    const answered = Date.now();
    await sleep(400);
    const event = events.find((each) => each >= at);
    if (event === undefined) {
      throw new Error(`the API server sent no event of change ${change} of ${service}'s EndpointSlice`);
    }
    sent.push({ at, pod: name, event: Math.min(answered, event) });
  }
  unwatch();
  return sent;
}

/** When the last of the clients was answered by the new pod, for each change. */
function lastSeen(sent: readonly Sent[], seen: readonly (readonly Seen[])[]): readonly number[] {
  return sent.map(({ at, pod }, index) => {
    const end = sent[index + 1]?.at ?? Number.POSITIVE_INFINITY;
    const firsts = seen.map((each) => each.find((answer) => answer.pod === pod && answer.at >= at));
    const missing = firsts.findIndex((first) => first === undefined || first.at > end);
    if (missing >= 0) {
      throw new Error(
        `watcher-${missing} did not see change ${index + 1} of ${service}'s EndpointSlice in time`,
      );
    }
    return Math.max(...firsts.map((first) => first!.at));
  });
}

/** `targets`: two pods that serve, by name and address. */
export async function measureEndpoints(
  api: Api,
  namespace: Namespace,
  targets: readonly { readonly name: string; readonly address: string }[],
): Promise<readonly Figure[]> {
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
  const sent = await moves(api, namespace.name, targets);
  const last = lastSeen(sent, await Promise.all(everybody.map((number) => seenBy(namespace, number))));
  const title = `an EndpointSlice's change in force in ${clients} sidecars`;
  const fromEvent = sent.map(({ event }, index) => last[index]! - event);
  const fromRequest = sent.map(({ at }, index) => last[index]! - at);
  const base = { unit: "ms" } as const;
  const named = { ...base, metric: "k8s-endpoints", title: `${title}, after its event (p99 of the changes)` };
  return [
    figure({ ...named, goal: 100 }, fromEvent, 0.99),
    figure({ ...base, metric: "k8s-endpoints-median", title: "the same, median" }, fromEvent),
    figure(
      {
        ...base,
        metric: "k8s-endpoints-request",
        title: "the same, after the request to the API server (p99)",
      },
      fromRequest,
      0.99,
    ),
  ];
}
