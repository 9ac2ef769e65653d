/** Labels and annotations of the public interface, and the reading of their values. */
import type { LbMethod, MtlsMode } from "../wire/messages.ts";
import { bodySize, lbMethods, mtlsModes } from "./policies.ts";

export const annotations = {
  autoInject: "injector.nsm.nginx.com/auto-inject",
  /** Labels of a pod of NGINX Ingress Controller, with its own SVID instead of a sidecar. */
  enableIngress: "nsm.nginx.com/enable-ingress",
  enableEgress: "nsm.nginx.com/enable-egress",
  mtlsMode: "config.nsm.nginx.com/mtls-mode",
  clientMaxBodySize: "config.nsm.nginx.com/client-max-body-size",
  ignoreIncomingPorts: "config.nsm.nginx.com/ignore-incoming-ports",
  ignoreOutgoingPorts: "config.nsm.nginx.com/ignore-outgoing-ports",
  defaultEgressAllowed: "config.nsm.nginx.com/default-egress-allowed",
  lbMethod: "config.nsm.nginx.com/lb-method",
  /** Not of NSM: after which a TCP connection without traffic is closed. */
  tcpIdleTimeout: "config.nginx-mesh/tcp-idle-timeout",
  /** Not of NSM: `true` or `false`, whether the sidecar writes a line for each request and TCP connection. */
  accessLog: "config.nginx-mesh/access-log",
  /** Local mode: folder that is the root file system of the pod's processes. */
  localRoot: "local.nginx-mesh/root",
} as const;

/** Namespaces of Kubernetes itself; a sidecar there may take the cluster down with the mesh. */
export const systemNamespaces: readonly string[] = ["kube-system", "kube-public", "kube-node-lease"];

type Labels = Readonly<Record<string, string>>;

/** Whether a pod has an SVID of its own and speaks mTLS itself: then it gets no sidecar, whatever else asks for one. */
export function isIngressController(labels: Readonly<Record<string, unknown>>): boolean {
  return labels[annotations.enableIngress] === "true" || labels[annotations.enableEgress] === "true";
}

/**
 * Whether a pod is to be injected: its own label wins over its namespace's; none says: no. An ingress controller never
 * is: it speaks for itself.
 */
export function isInjectionAsked(podLabels: Labels, namespaceLabels: Labels): boolean {
  if (isIngressController(podLabels)) {
    return false;
  }
  const own = podLabels[annotations.autoInject];
  return own === "enabled" || (own !== "disabled" && namespaceLabels[annotations.autoInject] === "enabled");
}

/** A value, or why the text is none; undefined text: undefined value. */
export type Reading<T> = { readonly value: T | undefined } | { readonly error: string };

function oneOf<T extends string>(text: string | undefined, values: readonly T[]): Reading<T> {
  if (text === undefined) {
    return { value: undefined };
  }
  const found = values.find((value) => value === text);
  return found === undefined ? { error: `"${text}" is not one of ${values.join(", ")}` } : { value: found };
}

/** `true` or `false`, as Kubernetes writes it. */
export function readBoolean(text: string | undefined): Reading<boolean> {
  switch (text) {
    case undefined:
      return { value: undefined };
    case "true":
    case "false":
      return { value: text === "true" };
    default:
      return { error: `"${text}" is not true or false` };
  }
}

export function readMtlsMode(text: string | undefined): Reading<MtlsMode> {
  return oneOf(text, mtlsModes);
}

export function readLbMethod(text: string | undefined): Reading<LbMethod> {
  return oneOf(text, lbMethods);
}

const units = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 } as const;

/** nginx's sizes: bytes; 0 means no limit. */
export function readBodySize(text: string | undefined): Reading<number> {
  if (text === undefined) {
    return { value: undefined };
  }
  if (!bodySize.safeParse(text).success) {
    return { error: `"${text}" is not a size such as 0, 64k or 10m` };
  }
  const unit = text.replace(/^\d+/, "").toLowerCase() as keyof typeof units;
  const bytes = Number.parseInt(text, 10) * units[unit];
  return Number.isSafeInteger(bytes) ? { value: bytes } : { error: `"${text}" is too large` };
}

const seconds = { s: 1, m: 60, h: 3600 } as const;
const longestDuration = 24 * 24 * 3600;

/** Seconds of `90s`, `30m` or `48h`; at most 24 days, as timers of nginx have 31 bits of milliseconds. */
export function readDuration(text: string | undefined): Reading<number> {
  if (text === undefined) {
    return { value: undefined };
  }
  const found = /^([1-9]\d{0,7})([smh])$/.exec(text);
  const value = found === null ? 0 : Number(found[1]) * seconds[found[2] as keyof typeof seconds];
  return value >= 1 && value <= longestDuration
    ? { value }
    : { error: `"${text}" is not a duration such as 90s, 30m or 48h, at most 576h` };
}

/** Comma-separated ports. */
export function readPorts(text: string | undefined): Reading<readonly number[]> {
  if (text === undefined || text.trim() === "") {
    return { value: undefined };
  }
  const ports = text.split(",").map((part) => part.trim());
  const bad = ports.find((part) => !/^\d{1,5}$/.test(part) || Number(part) < 1 || Number(part) > 65535);
  return bad === undefined ? { value: ports.map(Number) } : { error: `"${bad}" is not a port` };
}
