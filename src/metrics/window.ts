/** Totals of sidecars → what happened in the last seconds, per edge. Pure: the clock is an argument. */
import type { EdgeStatistics, StatisticsMessage, WorkloadReference } from "../wire/messages.ts";
import { emptyHistogram } from "./histogram.ts";

/** Seconds that are remembered; the window of the SMI metrics. */
export const windowSeconds = 30;

/** Bounds of the memory that senders together can take. */
export interface WindowLimits {
  /** Workers of sidecars. */
  readonly senders: number;
  /** Edges of all of them. */
  readonly edges: number;
}

/** Some 600 bytes an edge without traffic, ten times that with traffic in every second. */
export const defaultLimits: WindowLimits = { senders: 20_000, edges: 100_000 };

/** Who sent a message. */
export interface Sender {
  readonly namespace: string;
  readonly pod: string;
  readonly serviceAccount: string;
  readonly workload: WorkloadReference;
}

/** What one edge counted in one window. */
export interface EdgeWindow {
  readonly sender: Sender;
  readonly edge: EdgeStatistics;
  readonly total: number;
  readonly failures: number;
  readonly latency: readonly number[];
}

/** Differences that arrived in one second; the histogram as pairs of index and count. */
interface Slot {
  readonly second: number;
  total: number;
  failures: number;
  readonly latency: number[];
}

interface FollowedEdge {
  /** Last totals. */
  edge: EdgeStatistics;
  readonly slots: Slot[];
}

interface FollowedSender {
  readonly sender: Sender;
  startedAt: number;
  /** Seconds. */
  heardAt: number;
  readonly edges: Map<string, FollowedEdge>;
}

export interface Window {
  readonly limits: WindowLimits;
  readonly senders: Map<string, FollowedSender>;
  edges: number;
}

export function createWindow(limits: WindowLimits = defaultLimits): Window {
  return { limits, senders: new Map(), edges: 0 };
}

/** What tells edges of one sender apart. */
function edgeKey(edge: EdgeStatistics): string {
  const workload = edge.workload;
  return [
    edge.direction,
    edge.protocol,
    edge.mtls ? "mtls" : "plain",
    workload === undefined ? "" : `${workload.namespace}/${workload.kind}/${workload.name}`,
    edge.service ?? "",
    edge.pod ?? "",
    edge.identity ?? "",
  ].join("|");
}

/** A pod has an edge for each of a destination's ports, which are the same edge here. */
function sumByKey(edges: readonly EdgeStatistics[]): Map<string, EdgeStatistics> {
  const sums = new Map<string, EdgeStatistics>();
  for (const edge of edges) {
    const key = edgeKey(edge);
    const present = sums.get(key);
    sums.set(key, present === undefined ? edge : add(present, edge));
  }
  return sums;
}

function add(a: EdgeStatistics, b: EdgeStatistics): EdgeStatistics {
  return {
    ...a,
    total: a.total + b.total,
    failures: a.failures + b.failures,
    latency: a.latency.map((value, i) => value + (b.latency[i] ?? 0)),
  };
}

/**
 * Takes one message in; `now` in seconds. Returns why it was not counted, or undefined. What a worker counted
 * before it was first heard of is counted only if the worker is younger than the window.
 */
export function takeIn(
  window: Window,
  message: StatisticsMessage,
  serviceAccount: string,
  now: number,
): string | undefined {
  const key = `${message.namespace}/${serviceAccount}/${message.pod}/${message.worker}`;
  const present = window.senders.get(key);
  if (present !== undefined && present.startedAt > message.startedAt) {
    return "it is of a worker that another one has replaced";
  }
  if (present === undefined && window.senders.size >= window.limits.senders) {
    return `more than ${window.limits.senders} sidecars send statistics`;
  }
  const sums = sumByKey(message.edges);
  const before = present?.startedAt === message.startedAt ? present : undefined;
  const others = window.edges - (present?.edges.size ?? 0);
  if (others + sums.size > window.limits.edges) {
    return `more than ${window.limits.edges} edges in the mesh`;
  }
  const sender = {
    namespace: message.namespace,
    pod: message.pod,
    serviceAccount,
    workload: message.workload,
  };
  const followed: FollowedSender = { sender, startedAt: message.startedAt, heardAt: now, edges: new Map() };
  const countNew = present !== undefined || now - message.startedAt <= windowSeconds;
  for (const [name, edge] of sums) {
    const slots = recent(present?.edges.get(name)?.slots ?? [], now);
    const last = before?.edges.get(name)?.edge;
    if (last !== undefined || countNew) {
      const slot = difference(last, edge, now);
      if (slot !== undefined) {
        addSlot(slots, slot);
      }
    }
    followed.edges.set(name, { edge, slots });
  }
  keepRecent(followed, present, now);
  window.senders.set(key, followed);
  window.edges = others + followed.edges.size;
  return undefined;
}

/** What was counted in the window stays in it when the edge is no longer in the message, as after a restart. */
function keepRecent(followed: FollowedSender, previous: FollowedSender | undefined, now: number): void {
  for (const [name, { edge, slots }] of previous?.edges ?? []) {
    const kept = followed.edges.has(name) ? [] : recent(slots, now);
    if (kept.length > 0) {
      const nothing = { ...edge, total: 0, failures: 0, latency: emptyHistogram() };
      followed.edges.set(name, { edge: nothing, slots: kept });
    }
  }
}

function recent(slots: readonly Slot[], now: number): Slot[] {
  return slots.filter((slot) => slot.second > now - windowSeconds);
}

function addSlot(slots: Slot[], slot: Slot): void {
  const last = slots.at(-1);
  if (last?.second !== slot.second) {
    slots.push(slot);
    return;
  }
  last.total += slot.total;
  last.failures += slot.failures;
  for (let i = 0; i + 1 < slot.latency.length; i += 2) {
    addPair(last.latency, slot.latency[i] ?? 0, slot.latency[i + 1] ?? 0);
  }
}

function addPair(pairs: number[], bucket: number, more: number): void {
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    if (pairs[i] === bucket) {
      pairs[i + 1] = (pairs[i + 1] ?? 0) + more;
      return;
    }
  }
  pairs.push(bucket, more);
}

/** Totals that went down belong to an edge that was dropped and made again: how much is new is not known, so nothing counts. */
function difference(last: EdgeStatistics | undefined, edge: EdgeStatistics, now: number): Slot | undefined {
  const total = edge.total - (last?.total ?? 0);
  const failures = edge.failures - (last?.failures ?? 0);
  if (total <= 0 || failures < 0) {
    return undefined;
  }
  const latency: number[] = [];
  for (let i = 0; i < edge.latency.length; i++) {
    const more = (edge.latency[i] ?? 0) - (last?.latency[i] ?? 0);
    if (more > 0) {
      latency.push(i, more);
    }
  }
  return { second: Math.floor(now), total, failures: Math.min(failures, total), latency };
}

/** All edges with traffic in the last `seconds` (at most `windowSeconds`). */
export function readWindow(window: Window, now: number, seconds: number): EdgeWindow[] {
  const result: EdgeWindow[] = [];
  for (const followed of window.senders.values()) {
    for (const { edge, slots } of followed.edges.values()) {
      const sum = sumSlots(slots, now - seconds);
      if (sum.total > 0) {
        result.push({ sender: followed.sender, edge, ...sum });
      }
    }
  }
  return result;
}

function sumSlots(
  slots: readonly Slot[],
  after: number,
): { readonly total: number; readonly failures: number; readonly latency: number[] } {
  let total = 0;
  let failures = 0;
  const latency = emptyHistogram();
  for (const slot of slots) {
    if (slot.second <= after) {
      continue;
    }
    total += slot.total;
    failures += slot.failures;
    for (let i = 0; i + 1 < slot.latency.length; i += 2) {
      const bucket = slot.latency[i] ?? 0;
      latency[bucket] = (latency[bucket] ?? 0) + (slot.latency[i + 1] ?? 0);
    }
  }
  return { total, failures, latency };
}

/**
 * Forgets senders of whom `gone` says so and who have been silent for a window. A silent sender that is still there
 * is kept: it had no traffic, and its totals are needed for the next difference.
 */
export function forget(
  window: Window,
  now: number,
  gone: (sender: Sender, silentSeconds: number) => boolean,
): void {
  for (const [key, followed] of window.senders) {
    const silence = now - followed.heardAt;
    if (silence > windowSeconds && gone(followed.sender, silence)) {
      window.senders.delete(key);
      window.edges -= followed.edges.size;
    }
  }
}
