/** Snapshot → mesh. Pure: equal snapshots give equal models. */
import { annotations, readMtlsMode } from "../api/annotations.ts";
import type { Problem } from "../api/problem.ts";
import type { RunningPod, Snapshot } from "../cluster/snapshot.ts";
import { spiffeId } from "../wire/sidecar.ts";
import type { MeshModel, MeshSettings, Pod, PodPort, Service, Workload } from "./mesh.ts";
import { withRoutes } from "./routes.ts";
import { modelServices, type PodPair } from "./services.ts";
import { settingsOf, type SettingsOptions } from "./settings.ts";
import { modelWorkload, workloadSources } from "./workloads.ts";
import { containerProtocol } from "./protocol.ts";

function modeOf(pod: RunningPod, settings: MeshSettings): MeshSettings["mtlsMode"] {
  const reading = readMtlsMode(pod.annotations[annotations.mtlsMode]);
  return ("value" in reading ? reading.value : undefined) ?? settings.mtlsMode;
}

function plainPod(running: RunningPod, settings: MeshSettings): Pod {
  const meshed = running.meshed && modeOf(running, settings) !== "off";
  return {
    namespace: running.namespace,
    name: running.name,
    address: running.address,
    workload: { namespace: running.namespace, kind: running.owner.kind, name: running.owner.name },
    serviceAccount: running.serviceAccount,
    meshed,
    identity: meshed ? spiffeId(settings.trustDomain, running.namespace, running.serviceAccount) : "",
    ports: [],
  };
}

type HeadlessPorts = ReadonlyMap<string, NonNullable<PodPort["headless"]>>;

/** `address port` → the headless Service with a route through which it is reached. */
function headlessRoutes(services: readonly Service[]): HeadlessPorts {
  const result = new Map<string, NonNullable<PodPort["headless"]>>();
  for (const service of services.filter((candidate) => candidate.headless)) {
    for (const port of service.ports.filter((candidate) => candidate.route !== undefined)) {
      for (const endpoint of port.endpoints) {
        const headless = { namespace: service.namespace, name: service.name, port: port.port };
        result.set(`${endpoint.pod.address} ${endpoint.port}`, headless);
      }
    }
  }
  return result;
}

function podPorts(pair: PodPair, workload: Workload | undefined, headless: HeadlessPorts): PodPort[] {
  const protocols = new Map(
    pair.running.ports.map((port): [number, PodPort["protocol"]] => [
      port.containerPort,
      containerProtocol(port),
    ]),
  );
  for (const { port, protocol } of workload?.ports ?? []) {
    protocols.set(port, protocol);
  }
  return [...protocols]
    .sort(([a], [b]) => a - b)
    .map(([port, protocol]) => ({ port, protocol, headless: headless.get(`${pair.pod.address} ${port}`) }));
}

export function buildModel(snapshot: Snapshot, options: SettingsOptions): MeshModel {
  const problems: Problem[] = [...snapshot.problems];
  const settings = settingsOf(snapshot, options);
  const pairs = snapshot.pods
    .filter((running) => running.address !== "")
    .map((running): PodPair => ({ running, pod: plainPod(running, settings) }));
  const services = withRoutes(snapshot, modelServices(snapshot, pairs, settings, problems), problems);
  const workloads = workloadSources(snapshot).map((source) =>
    modelWorkload(source, snapshot, services, settings, problems),
  );
  const byOwner = new Map(
    workloads.map((workload) => [`${workload.namespace}/${workload.kind}/${workload.name}`, workload]),
  );
  const headless = headlessRoutes(services);
  const pods = pairs.map((pair): Pod => {
    const { namespace, kind, name } = pair.pod.workload;
    return { ...pair.pod, ports: podPorts(pair, byOwner.get(`${namespace}/${kind}/${name}`), headless) };
  });
  return { settings, serviceRanges: snapshot.serviceRanges, workloads, pods, services, problems };
}
