/**
 * Keeps the webhook's certificate usable: made when there is none, replaced in time, the same in all replicas, and its
 * authority known to the API server. Level-triggered: each look reads everything and mends what is wrong, so a replica that
 * dies half-way, a lost race and a Secret that somebody damaged are all the same case.
 */
import { startTimer, type Timer } from "../identity/timer.ts";
import { createCertificate, judge, type StoredCertificate, withFormer } from "./webhook-certificate.ts";

/** Where the certificate is kept, and who must know its authority. All reject when the API server does not answer. */
export interface CertificateStore {
  /** The Secret; fields that it lacks are empty. Undefined: there is none. */
  read(): Promise<{ readonly stored: StoredCertificate; readonly version: string } | undefined>;
  /** Creates the Secret (`version` undefined), or replaces the one of that version. False: somebody was quicker. */
  write(stored: StoredCertificate, version: string | undefined): Promise<boolean>;
  /**
   * Puts the authorities (PEM) into everything that the API server verifies with, where they differ. Rejects when that
   * fails for the injection, on which pods depend; else returns why it failed elsewhere.
   */
  publish(authorities: string): Promise<readonly string[]>;
}

export interface KeeperOptions {
  readonly store: CertificateStore;
  /** DNS names of the webhook's Services. */
  readonly names: readonly string[];
  /** Serves with this one from now on. */
  readonly use: (certificate: StoredCertificate) => void;
  readonly log: (level: "info" | "error", message: string) => void;
  readonly now?: () => number;
  /** Between two looks. */
  readonly periodMilliseconds?: number;
  /** How long API servers may take to hear of a new authority. */
  readonly settleMilliseconds?: number;
}

export interface CertificateKeeper {
  /** Looks now, and again and again. Rejects never; what fails is logged and tried again. */
  look(): Promise<void>;
  /** Whether there is a certificate in force. */
  readonly ready: boolean;
  close(): void;
}

/** Races are lost to other replicas; after as many the next look goes on. */
const mostAttempts = 5;

/** What to write where there is nothing good: what this replica serves with, if that is, else a new one. */
async function replacement(
  names: readonly string[],
  now: number,
  found: StoredCertificate | undefined,
  inForce: StoredCertificate | undefined,
): Promise<StoredCertificate> {
  if (inForce !== undefined && judge(inForce, names, now).verdict === "good") {
    return inForce;
  }
  const fresh = await createCertificate(names, now);
  const former = [found, inForce].find(
    (old) => old !== undefined && judge(old, names, now).verdict !== "unusable",
  );
  return former === undefined ? fresh : withFormer(fresh, former, now);
}

/** The certificate that all replicas agree on; writes one when there is none, or none that lasts. */
async function agree(
  options: KeeperOptions,
  now: number,
  inForce: StoredCertificate | undefined,
): Promise<StoredCertificate> {
  const { store, names, log } = options;
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const found = await store.read();
    const judgement = found === undefined ? undefined : judge(found.stored, names, now);
    if (found !== undefined && judgement?.verdict === "good") {
      return found.stored;
    }
    const next = await replacement(names, now, found?.stored, inForce);
    if (await store.write(next, found?.version)) {
      const why =
        judgement === undefined || judgement.verdict === "good" ? "there was none" : judgement.reason;
      log("info", `wrote a webhook certificate: ${why}`);
      return next;
    }
  }
  throw new Error(`other replicas changed the Secret ${mostAttempts} times meanwhile`);
}

export function keepCertificate(options: KeeperOptions): CertificateKeeper {
  const { names, log, now = Date.now, periodMilliseconds = 10_000, settleMilliseconds = 15_000 } = options;
  let inForce: StoredCertificate | undefined;
  let timer: Timer | undefined;
  let switching: Timer | undefined;
  /** The one that `switching` is about. */
  let next = "";
  let closed = false;
  let running: Promise<void> | undefined;
  let lastError = "";

  const take = (certificate: StoredCertificate): void => {
    switching?.stop();
    switching = undefined;
    inForce = certificate;
    options.use(certificate);
  };
  /** While the old one works it serves on until every API server knows the new authority. */
  const change = (certificate: StoredCertificate): void => {
    // a look while the time runs does not begin it anew
    const waiting = switching !== undefined && next === certificate.certificate;
    if (inForce?.certificate === certificate.certificate || waiting) {
      return;
    }
    switching?.stop();
    next = certificate.certificate;
    if (inForce === undefined || judge(inForce, names, now()).verdict === "unusable") {
      take(certificate);
    } else {
      switching = startTimer(settleMilliseconds, () => take(certificate));
    }
  };
  const complain = (reasons: string): void => {
    if (reasons !== "" && reasons !== lastError) {
      log("error", `cannot look after the webhook certificate: ${reasons}; it is tried again`);
    }
    lastError = reasons;
  };
  const once = async (): Promise<void> => {
    try {
      const certificate = await agree(options, now(), inForce);
      if (inForce === undefined) {
        // served before the API server hears of it: better an unknown authority for a moment than nobody there
        take(certificate);
      }
      const reasons = await options.store.publish(certificate.authorities);
      change(certificate);
      complain(reasons.join("; "));
    } catch (error) {
      complain((error as Error).message);
    }
  };
  const look = async (): Promise<void> => {
    running ??= once().finally(() => (running = undefined));
    await running;
    timer?.stop();
    if (!closed) {
      timer = startTimer(periodMilliseconds, () => void look());
    }
  };
  return {
    look,
    get ready() {
      return inForce !== undefined;
    },
    close() {
      closed = true;
      timer?.stop();
      switching?.stop();
    },
  };
}
