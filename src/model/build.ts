/** Snapshot → mesh. Pure: equal snapshots give equal models. */
import type { Service as ServiceObject } from "../api/core.ts";
import { identify, namespaceOf } from "../api/objects.ts";
import { formatProblem, type Problem } from "../api/problem.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { canonicalRange } from "./address.ts";
import { podsByAddress, servicesByAddress } from "./addresses.ts";
import { endpointSource, type PodPair } from "./endpoints.ts";
import { egressEndpoints } from "./egress.ts";
import type { MeshModel, MeshSettings, Report, Workload } from "./mesh.ts";
import { headlessRoutes, modelPod, withPorts } from "./pods.ts";
import { serviceProtocol } from "./protocol.ts";
import { indexByLabels, type Selection } from "./selection.ts";
import { modelServices, serviceObjects } from "./services.ts";
import { reportMissingSidecars } from "./missing-sidecars.ts";
import { settingsOf, type SettingsOptions } from "./settings.ts";
import { withRoutes } from "./splits.ts";
import { ownerKey, targetPortIn, type Template, templatesOf } from "./templates.ts";
import { reportUnsupported } from "./unsupported.ts";
import { modelWorkload, type PortClaim } from "./workloads.ts";

/** Template → what the Services that select it say of its ports. */
function claimsOf(
  services: readonly ServiceObject[],
  templates: Selection<Template>,
): ReadonlyMap<Template, readonly PortClaim[]> {
  const claims = new Map<Template, PortClaim[]>();
  for (const service of services) {
    for (const template of templates.select(namespaceOf(service), service.spec.selector)) {
      const own = claims.get(template) ?? [];
      for (const port of (service.spec.ports ?? []).filter((each) => each.protocol !== "SCTP")) {
        const number = targetPortIn(template, port.targetPort ?? port.port);
        if (number !== undefined) {
          own.push({ port: number, protocol: serviceProtocol(port), service: identify(service) });
        }
      }
      claims.set(template, own);
    }
  }
  return claims;
}

function modelWorkloads(
  templates: readonly Template[],
  claims: ReadonlyMap<Template, readonly PortClaim[]>,
  settings: MeshSettings,
  report: Report,
): ReadonlyMap<string, Workload> {
  return new Map(
    templates.map((template) => [
      ownerKey(template),
      modelWorkload(template, claims.get(template) ?? [], settings, report),
    ]),
  );
}

function pairPods(
  snapshot: Snapshot,
  workloads: ReadonlyMap<string, Workload>,
  settings: MeshSettings,
): readonly PodPair[] {
  return snapshot.pods
    .filter((running) => running.address !== "")
    .map((running) => ({
      namespace: running.namespace,
      labels: running.labels,
      running,
      pod: modelPod(
        running,
        workloads.get(ownerKey({ namespace: running.namespace, ...running.owner })),
        settings,
      ),
    }));
}

function sorted(problems: readonly Problem[]): readonly Problem[] {
  const lines = new Map(problems.map((problem) => [formatProblem(problem), problem]));
  return [...lines.keys()].sort().map((line) => lines.get(line)!);
}

export function buildModel(snapshot: Snapshot, options: SettingsOptions): MeshModel {
  const problems: Problem[] = [...snapshot.problems];
  const report: Report = (problem) => void problems.push(problem);
  reportUnsupported(snapshot, options, report);
  const settings = settingsOf(snapshot, options, report);
  reportMissingSidecars(snapshot, settings, options, report);
  const objects = serviceObjects(snapshot, report);
  const templates = templatesOf(snapshot);
  const byLabels = indexByLabels(templates);
  const workloads = modelWorkloads(templates, claimsOf(objects, byLabels), settings, report);
  const pairs = pairPods(snapshot, workloads, settings);
  const candidates = {
    endpoints: endpointSource(snapshot, pairs),
    pods: indexByLabels(pairs),
    templates: byLabels,
  };
  const plain = modelServices(objects, snapshot, candidates, settings, report);
  const services = withRoutes(snapshot, servicesByAddress(plain, report), report);
  const headless = headlessRoutes(services, report);
  const pods = pairs
    .filter(({ running }) => running.hostNetwork !== true)
    .map(({ pod, running }) => withPorts(pod, running, workloads.get(ownerKey(pod.workload)), headless));
  return {
    settings,
    serviceRanges: snapshot.serviceRanges.map(canonicalRange),
    workloads: [...workloads.values()],
    pods: podsByAddress(pods, services, report),
    services,
    egress: egressEndpoints(pairs, settings),
    problems: sorted(problems),
  };
}
