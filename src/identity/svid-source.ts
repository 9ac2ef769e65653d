/** The SVID of one identity, renewed at half its life for as long as someone follows it. */

import type { Authority, Svid } from "./authority.ts";
import { startTimer, type Timer } from "./timer.ts";

export interface SvidSourceOptions {
  readonly authority: Authority;
  readonly spiffeId: string;
  readonly ttlSeconds: number;
  /** DNS names for the next SVID; default: none. */
  readonly dnsNames?: () => readonly string[];
  /** Called with each SVID that replaces another, never with the first. */
  readonly onRenewed: (svid: Svid) => void;
  /** Called when an SVID cannot be issued; it is tried again. */
  readonly onError: (error: Error) => void;
}

export interface SvidSource {
  /** The present SVID; the first call issues it, and so does one after half its life has passed unfollowed. */
  current(): Promise<Svid>;
  /** While `following`, a timer renews the SVID. */
  setFollowed(following: boolean): void;
  /** Replaces the SVID now. */
  renew(): Promise<void>;
  close(): void;
}

const retryMilliseconds = 2_000;
const shortestWait = 1_000;
/** SVIDs issued together are not renewed together: some a little before half their life. */
const earliestRenewal = 0.45;
const latestRenewal = 0.5;

export function createSvidSource(options: SvidSourceOptions): SvidSource {
  let issued: { readonly svid: Svid; readonly renewAt: number } | undefined;
  let pending: Promise<Svid> | undefined;
  let timer: Timer | undefined;
  let followed = false;

  const schedule = (milliseconds: number): void => {
    timer?.stop();
    timer = followed
      ? startTimer(Math.max(milliseconds, shortestWait), () => void renew().catch(() => undefined))
      : undefined;
  };
  const issue = async (): Promise<Svid> => {
    const start = Date.now();
    const { authority, spiffeId, ttlSeconds, dnsNames } = options;
    const svid = await authority.issue({ spiffeId, ttlSeconds, dnsNames: dnsNames?.() ?? [] });
    const share = earliestRenewal + Math.random() * (latestRenewal - earliestRenewal);
    const replaced = issued !== undefined;
    issued = { svid, renewAt: start + (svid.notAfter.getTime() - start) * share };
    schedule(issued.renewAt - start);
    if (replaced) {
      options.onRenewed(svid);
    }
    return svid;
  };
  const request = (): Promise<Svid> => {
    pending ??= issue().finally(() => (pending = undefined));
    return pending;
  };
  const renew = async (): Promise<void> => {
    try {
      await request();
    } catch (error) {
      options.onError(error as Error);
      schedule(retryMilliseconds);
      throw error;
    }
  };
  return {
    current: async () => (issued !== undefined && Date.now() < issued.renewAt ? issued.svid : request()),
    setFollowed(following) {
      followed = following;
      if (issued !== undefined) {
        schedule(issued.renewAt - Date.now());
      }
    },
    renew,
    close() {
      followed = false;
      timer?.stop();
      timer = undefined;
    },
  };
}
