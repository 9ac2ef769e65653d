/** Why a workload's pods cannot be started here: what local mode cannot do, and what the injector refuses. Pure. */
import { annotations, readPorts } from "../api/annotations.ts";
import { labelName, type LabelSelector, selects } from "../api/fields.ts";
import type { PodSpec } from "../api/pod.ts";
import { sidecarUser } from "../wire/sidecar.ts";
import { environmentSources } from "./container-environment.ts";
import { sidecarName } from "./layout.ts";

type Labels = Readonly<Record<string, string>>;

export interface Refusal {
  readonly field: string;
  readonly message: string;
}

export interface Candidate {
  readonly spec: PodSpec;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly meshed: boolean;
  /** Of its owner; a Pod and a Job have none. */
  readonly selector: LabelSelector | undefined;
}

function selectorRefusal({ selector, labels }: Candidate): Refusal | undefined {
  return selector === undefined || selects(selector, labels)
    ? undefined
    : { field: "spec.selector", message: "does not select the labels of its own template" };
}

function processRefusal({ spec }: Candidate): Refusal | undefined {
  if (spec.hostNetwork === true) {
    return { field: "spec.hostNetwork", message: "a pod of local mode has a network of its own" };
  }
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const field = `spec.containers["${container.name}"]`;
    if ((container.command ?? []).length === 0) {
      return {
        field: `${field}.command`,
        message: "local mode runs no images: name the command that the image would run",
      };
    }
    const other = container.env?.find(
      ({ valueFrom }) =>
        valueFrom !== undefined &&
        valueFrom.fieldRef === undefined &&
        valueFrom.configMapKeyRef === undefined,
    );
    if (environmentSources(container) === undefined) {
      return { field: `${field}.envFrom`, message: "local mode knows the source configMapRef only" };
    }
    if (other !== undefined) {
      return {
        field: `${field}.env["${other.name}"]`,
        message: "local mode knows the sources fieldRef and configMapKeyRef only",
      };
    }
  }
  return undefined;
}

/** Logs and `exec` tell containers apart by their names, of which the mesh has one in every meshed pod. */
function nameRefusal({ spec, meshed }: Candidate): Refusal | undefined {
  const seen = new Set(meshed ? [sidecarName] : []);
  for (const { name } of [...(spec.initContainers ?? []), ...spec.containers]) {
    const field = `spec.containers["${name}"].name`;
    if (!labelName.safeParse(name).success) {
      return { field, message: "the name of a container must be a DNS-1123 label" };
    }
    if (seen.has(name)) {
      const message =
        name === sidecarName && meshed
          ? "is the name of the mesh's own container in this pod: choose another"
          : "is the name of two containers of this pod: give one another";
      return { field, message };
    }
    seen.add(name);
  }
  return undefined;
}

function userRefusal({ spec }: Candidate): Refusal | undefined {
  const all = [...(spec.initContainers ?? []), ...spec.containers];
  const users = [spec.securityContext, ...all.map((container) => container.securityContext)];
  return users.some((context) => context?.runAsUser === sidecarUser)
    ? {
        field: "spec.securityContext.runAsUser",
        message: `user ${sidecarUser} is the sidecar's, whose connections pass the mesh by: choose another`,
      }
    : undefined;
}

function portRefusal({ spec }: Candidate): Refusal | undefined {
  const field = "spec.containers[].ports";
  const seen = new Set<string>();
  for (const { containerPort, protocol = "TCP" } of spec.containers.flatMap((each) => each.ports ?? [])) {
    if (protocol === "SCTP") {
      return { field, message: `SCTP port ${containerPort} cannot be meshed` };
    }
    const name = `${containerPort}/${protocol}`;
    if (seen.has(name)) {
      return { field, message: `port ${name} is there twice, which cannot be meshed: give one another` };
    }
    seen.add(name);
  }
  return undefined;
}

function annotationRefusal({ annotations: values }: Candidate): Refusal | undefined {
  for (const key of [annotations.ignoreIncomingPorts, annotations.ignoreOutgoingPorts]) {
    const reading = readPorts(values[key]);
    if ("error" in reading) {
      return { field: `metadata.annotations["${key}"]`, message: reading.error };
    }
  }
  return undefined;
}

const always = [selectorRefusal, nameRefusal, processRefusal];
const ofMeshed = [userRefusal, portRefusal, annotationRefusal];

/** The first reason, or undefined. */
export function refusalOf(candidate: Candidate): Refusal | undefined {
  for (const check of candidate.meshed ? [...always, ...ofMeshed] : always) {
    const refusal = check(candidate);
    if (refusal !== undefined) {
      return refusal;
    }
  }
  return undefined;
}
