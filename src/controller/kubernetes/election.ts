/**
 * One of several controllers publishes: the holder of a Lease (Kubernetes API, coordination.k8s.io/v1). All others are
 * as warm as it is, so a change of leaders costs only the time until it is noticed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { ApiError, type ApiServer, isStatus } from "../../cluster/kubernetes/api-server.ts";

export interface ElectionOptions {
  readonly api: ApiServer;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Of this process; unique among those that run. */
  readonly identity: string;
  /** Called with each change. */
  onChange(leading: boolean): void;
  /** Why the Lease cannot be read or written; empty: it can again. */
  onError(message: string): void;
}

export interface Election {
  leading(): boolean;
  /** Identity of the leader, as far as is known; empty: none. */
  leader(): string;
  /** Lets another lead at once. */
  close(): Promise<void>;
}

/** Milliseconds. */
export const electionTimes = { lease: 8_000, renew: 2_000, request: 2_000 } as const;

const lease = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  spec: z
    .looseObject({
      holderIdentity: z.string().nullish(),
      leaseTransitions: z.int().nullish(),
      acquireTime: z.string().nullish(),
      renewTime: z.string().nullish(),
    })
    .optional(),
});
type Lease = z.infer<typeof lease>;

/** The newest state of the Lease that was seen, by this machine's clock: the clocks of two machines may differ. */
interface Seen {
  readonly record: string;
  readonly at: number;
}

/** `metav1.MicroTime`. */
function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace("Z", "000Z");
}

function explain(error: unknown, namespace: string, name: string): string {
  const what = `cannot use the Lease ${namespace}/${name} that tells which controller publishes`;
  return isStatus(error, 403)
    ? `${what}: access is denied; let the controller's ServiceAccount "get", "create" and "update" the resource "leases" of the API group "coordination.k8s.io" in the namespace ${namespace} (${error.message})`
    : `${what}: ${(error as Error).message}`;
}

export function startElection(options: ElectionOptions): Election {
  const { api, namespace, name, identity } = options;
  const folder = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  const closed = new AbortController();
  let seen: Seen = { record: "", at: 0 };
  let holder = "";
  let renewedAt = -Infinity;
  /**
   * The last attempt found no API server, a busy one, or may not use the Lease: then hardly another can take it either, as all
   * have one ServiceAccount. Who is cut off alone leads on beside the next leader (docs/decisions/017).
   */
  let outOfReach = false;
  let told = false;

  const leading = (): boolean =>
    holder === identity && (outOfReach || performance.now() - renewedAt < electionTimes.lease);

  const send = async (method: "GET" | "POST" | "PUT", body?: object): Promise<Lease> => {
    const path = method === "POST" ? folder : `${folder}/${name}`;
    return lease.parse(await api.send({ method, path, body, timeout: electionTimes.request }));
  };
  const fresh = () => ({
    holderIdentity: identity,
    leaseDurationSeconds: electionTimes.lease / 1000,
    renewTime: microTime(Date.now()),
  });
  const read = async (): Promise<Lease | undefined> => {
    try {
      return await send("GET");
    } catch (error) {
      if (isStatus(error, 404)) {
        return undefined;
      }
      throw error;
    }
  };
  const create = (): Promise<Lease> =>
    send("POST", {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace },
      spec: { ...fresh(), acquireTime: microTime(Date.now()), leaseTransitions: 0 },
    });
  /** Throws ApiError with status 409 when another was quicker. */
  const take = (present: Lease): Promise<Lease> => {
    const { spec } = present;
    const mine = spec?.holderIdentity === identity;
    const taken = mine
      ? {}
      : { acquireTime: microTime(Date.now()), leaseTransitions: (spec?.leaseTransitions ?? 0) + 1 };
    return send("PUT", { ...present, spec: { ...spec, ...fresh(), ...taken } });
  };
  const mayTake = ({ spec }: Lease): boolean => {
    const record = `${spec?.holderIdentity ?? ""} ${spec?.renewTime ?? ""}`;
    if (record !== seen.record) {
      seen = { record, at: performance.now() };
    }
    const free = (spec?.holderIdentity ?? "") === "" || spec?.holderIdentity === identity;
    return free || performance.now() - seen.at > electionTimes.lease;
  };
  const attempt = async (): Promise<void> => {
    const start = performance.now();
    const present = await read();
    const next = present === undefined ? await create() : mayTake(present) ? await take(present) : present;
    holder = next.spec?.holderIdentity ?? "";
    renewedAt = holder === identity ? start : -Infinity;
  };
  const tell = (): void => {
    const now = leading();
    if (now !== told) {
      told = now;
      options.onChange(now);
    }
  };
  const step = async (): Promise<void> => {
    try {
      await attempt();
      outOfReach = false;
      options.onError("");
    } catch (error) {
      outOfReach = isStatus(error, 0, 403, 408, 429) || (error instanceof ApiError && error.status >= 500);
      if (!isStatus(error, 409)) {
        options.onError(explain(error, namespace, name));
      }
    }
    tell();
  };
  const run = async (): Promise<void> => {
    while (!closed.signal.aborted) {
      await step();
      const wait = electionTimes.renew * (0.9 + Math.random() * 0.2);
      await sleep(wait, undefined, { signal: closed.signal }).catch(() => undefined);
    }
  };
  const running = run();

  return {
    leading,
    leader: () => holder,
    async close() {
      if (closed.signal.aborted) {
        return;
      }
      closed.abort();
      await running;
      if (holder === identity) {
        const present = await read().catch(() => undefined);
        if (present?.spec?.holderIdentity === identity) {
          await send("PUT", { ...present, spec: { ...present.spec, holderIdentity: "" } }).catch(
            () => undefined,
          );
        }
        holder = "";
        tell();
      }
    },
  };
}
