/** Why a pod cannot have a sidecar. Each check is a function from pod to problems; fields are those of the pod. */
import {
  annotations,
  readBodySize,
  readBoolean,
  readDuration,
  readMtlsMode,
  readPorts,
} from "../api/annotations.ts";
import type { Problem, ProblemReason } from "../api/problem.ts";
import { ports, sidecarUser } from "../wire/sidecar.ts";
import { captureAnnotations, containerNames, volumeNames } from "./containers.ts";
import { containersOf, type PodView, runsOn } from "./pod-view.ts";
import type { InjectSettings } from "./settings.ts";

/** A problem of a pod whose object the caller names. */
export type PodProblem = Omit<Problem, "object">;

function problem(field: string, reason: ProblemReason, message: string): PodProblem {
  return { field, reason, message, severity: "error" };
}

function host(pod: PodView): PodProblem[] {
  const { spec } = pod;
  const selector = spec.nodeSelector?.["kubernetes.io/os"] === "windows";
  return [
    ...(spec.hostNetwork === true
      ? [
          problem(
            "spec.hostNetwork",
            "Unsupported",
            `capture rules would redirect the whole node's traffic: remove hostNetwork, or label the pod ${annotations.autoInject}: disabled`,
          ),
        ]
      : []),
    ...(selector || spec.os?.name === "windows"
      ? [
          problem(
            selector ? 'spec.nodeSelector["kubernetes.io/os"]' : "spec.os.name",
            "Unsupported",
            `the sidecar runs on Linux only: label the pod ${annotations.autoInject}: disabled`,
          ),
        ]
      : []),
  ];
}

/** Who runs as the sidecar's user is not captured, and in strict mode would speak plain text. */
function users(pod: PodView): PodProblem[] {
  const message = `user ${sidecarUser} is the sidecar's, whose traffic is not captured: use another`;
  const clash = (user: number | null | undefined) => user === sidecarUser;
  return [
    ...(clash(pod.spec.securityContext?.runAsUser)
      ? [problem("spec.securityContext.runAsUser", "Conflict", message)]
      : []),
    ...containersOf(pod)
      .filter(({ container }) => clash(container.securityContext?.runAsUser))
      .map(({ list, index }) =>
        problem(`spec.${list}[${index}].securityContext.runAsUser`, "Conflict", message),
      ),
  ];
}

function names(pod: PodView): PodProblem[] {
  const containers: ReadonlySet<string> = new Set(Object.values(containerNames));
  const volumes: ReadonlySet<string> = new Set(Object.values(volumeNames));
  return [
    ...containersOf(pod)
      .filter(({ container }) => containers.has(container.name))
      .map(({ list, index, container }) =>
        problem(
          `spec.${list}[${index}].name`,
          "Conflict",
          `"${container.name}" is the name of a container of the mesh: choose another, or start from the manifest without the sidecar`,
        ),
      ),
    ...(pod.spec.volumes ?? []).flatMap((volume, index) =>
      volumes.has(volume.name)
        ? [
            problem(
              `spec.volumes[${index}].name`,
              "Conflict",
              `"${volume.name}" is the name of a volume of the mesh: choose another`,
            ),
          ]
        : [],
    ),
  ];
}

const sidecarTcp: ReadonlySet<number> = new Set(Object.values(ports));
const sidecarUdp: ReadonlySet<number> = new Set([ports.udpIncoming, ports.udpOutgoing]);

function portProblem(port: number, protocol: string, seen: Set<string>): PodProblem | undefined {
  const key = `${port}/${protocol}`;
  if (protocol === "SCTP") {
    return problem("protocol", "Unsupported", `port ${port} is SCTP, which a sidecar cannot proxy`);
  }
  if ((protocol === "UDP" ? sidecarUdp : sidecarTcp).has(port)) {
    return problem("containerPort", "Conflict", `port ${port} belongs to the sidecar: use another`);
  }
  if (seen.has(key)) {
    const message = `port ${key} is declared more than once in this pod, where all containers share one address: remove one`;
    return problem("containerPort", "Conflict", message);
  }
  seen.add(key);
  return undefined;
}

function portNumbers(pod: PodView): PodProblem[] {
  const seen = new Set<string>();
  const found: PodProblem[] = [];
  for (const { list, index, container } of containersOf(pod).filter(runsOn)) {
    for (const [place, port] of (container.ports ?? []).entries()) {
      const wrong = portProblem(port.containerPort, port.protocol ?? "TCP", seen);
      if (wrong !== undefined) {
        found.push({ ...wrong, field: `spec.${list}[${index}].ports[${place}].${wrong.field}` });
      }
    }
  }
  return found;
}

/** A value that cannot be read would leave the pod with something that nobody asked for. */
function annotationValues(pod: PodView): PodProblem[] {
  const values = pod.metadata?.annotations ?? {};
  const readings = [
    [annotations.mtlsMode, readMtlsMode(values[annotations.mtlsMode])],
    [annotations.clientMaxBodySize, readBodySize(values[annotations.clientMaxBodySize])],
    [annotations.ignoreIncomingPorts, readPorts(values[annotations.ignoreIncomingPorts])],
    [annotations.ignoreOutgoingPorts, readPorts(values[annotations.ignoreOutgoingPorts])],
    [annotations.accessLog, readBoolean(values[annotations.accessLog])],
    [annotations.tcpIdleTimeout, readDuration(values[annotations.tcpIdleTimeout])],
    [annotations.defaultEgressAllowed, readBoolean(values[annotations.defaultEgressAllowed])],
  ] as const;
  const rules = Object.values(captureAnnotations).filter((key) => Object.hasOwn(values, key));
  return [
    ...readings.flatMap(([key, reading]) =>
      "error" in reading ? [problem(`metadata.annotations["${key}"]`, "InvalidValue", reading.error)] : [],
    ),
    ...rules.map((key) =>
      problem(`metadata.annotations["${key}"]`, "Conflict", "the injector sets it: remove it"),
    ),
  ];
}

/** A container beside the application's goes on for ever, so the pod of a Job would never be done. */
function completion(pod: PodView, settings: InjectSettings): PodProblem[] {
  const policy = pod.spec.restartPolicy ?? "Always";
  return settings.order === "native" || policy === "Always"
    ? []
    : [
        problem(
          "spec.restartPolicy",
          "Unsupported",
          `with "${policy}" the pod is meant to end, but a sidecar in the classic order never does: use native sidecars (Kubernetes 1.29), or label the pod ${annotations.autoInject}: disabled`,
        ),
      ];
}

/** None: the pod can have a sidecar. */
export function refusalsOf(pod: PodView, settings: InjectSettings): readonly PodProblem[] {
  return [
    ...host(pod),
    ...users(pod),
    ...names(pod),
    ...portNumbers(pod),
    ...annotationValues(pod),
    ...completion(pod, settings),
  ];
}
