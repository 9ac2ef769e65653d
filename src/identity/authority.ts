/** The built-in certificate authority of a trust domain: issues X509-SVIDs, keeps itself on disk, rotates by itself. */

import { readAuthorities, type StoredAuthority, writeAuthorities } from "./authority-store.ts";
import {
  type CaKeyType,
  createAuthority,
  loadAuthority,
  type SigningAuthority,
  signSvid,
} from "./certificates.ts";
import { activationTime, dueSteps, nextDue, signingAuthority } from "./rotation.ts";
import type { Secret } from "./secret.ts";
import { parseSpiffeId, parseTrustDomain, SpiffeIdError } from "./spiffe-id.ts";
import { startTimer, type Timer } from "./timer.ts";

export interface AuthorityOptions {
  /** Folder that belongs to this authority alone; it is created. */
  readonly directory: string;
  readonly trustDomain: string;
  readonly caKeyType: CaKeyType;
  readonly caTtlSeconds: number;
  /** How long a new authority is published in the bundle before it signs; at most a quarter of the CA's life. */
  readonly overlapSeconds?: number;
  readonly now?: () => Date;
  /** Called when the authority cannot be written; it goes on with what it has and tries again. Default: a process warning. */
  readonly onError?: (error: Error) => void;
}

/** An X509-SVID with its key. */
export interface Svid {
  readonly spiffeId: string;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** PKCS#8, DER. */
  readonly key: Secret;
  readonly notAfter: Date;
}

export interface SvidRequest {
  readonly spiffeId: string;
  readonly ttlSeconds: number;
  /** Beside the SPIFFE ID, for clients that verify names of hosts; default: none. */
  readonly dnsNames?: readonly string[];
}

export interface Authority {
  readonly trustDomain: string;
  /** Throws SpiffeIdError for an ID that is not of this trust domain or names no workload. */
  issue(request: SvidRequest): Promise<Svid>;
  /** The certificates to verify against, DER, the one that signs first. */
  bundle(): readonly Uint8Array[];
  /** Calls the listener after each change of the bundle; returns how to stop that. */
  onChange(listener: () => void): () => void;
  /** Publishes a new authority now, which signs after the overlap; does nothing while another one waits to sign. */
  rotate(): Promise<void>;
  /** Does what is due at the present time; a timer calls it too. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Bundles reach every workload at once; this leaves room for one that is stopped or slow. */
const defaultOverlapSeconds = 600;
const retryMilliseconds = 10_000;

/** Opens the authority in `directory`, or creates it there. Throws AuthorityStoreError and SpiffeIdError. */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  parseTrustDomain(options.trustDomain);
  const state = new AuthorityState(options, await readAuthorities(options.directory, options.trustDomain));
  await state.check();
  return state;
}

class AuthorityState implements Authority {
  readonly trustDomain: string;
  readonly #options: AuthorityOptions;
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  readonly #loaded = new Map<Uint8Array, SigningAuthority>();
  #authorities: readonly StoredAuthority[];
  /** Per certificate: up to which expiry SVIDs can be signed before the file must be written again. */
  #reserved: ReadonlyMap<Uint8Array, number>;
  #queue: Promise<unknown> = Promise.resolve();
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: AuthorityOptions, authorities: readonly StoredAuthority[]) {
    this.#options = options;
    this.trustDomain = options.trustDomain;
    this.#now = () => (options.now?.() ?? new Date()).getTime();
    this.#authorities = authorities;
    this.#reserved = new Map(authorities.map((authority) => [authority.certificate, authority.svidsUntil]));
  }

  issue(request: SvidRequest): Promise<Svid> {
    const id = parseSpiffeId(request.spiffeId);
    if (id.trustDomain !== this.trustDomain || id.segments.length === 0) {
      throw new SpiffeIdError(
        request.spiffeId,
        `an SVID names a workload of the trust domain ${this.trustDomain}`,
      );
    }
    return this.#inTurn(async () => {
      // An authority that cannot be renewed just now can still sign.
      await this.#step().catch(this.#report);
      return this.#sign(request);
    });
  }

  bundle(): readonly Uint8Array[] {
    const signing = signingAuthority(this.#authorities, this.#now());
    const first = signing === undefined ? [] : [signing];
    return [...first, ...this.#authorities.filter((other) => other !== signing)].map(
      (entry) => entry.certificate,
    );
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  rotate(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#step();
      const now = this.#now();
      const signing = signingAuthority(this.#authorities, now);
      const waiting = this.#authorities.some((authority) => authority.signsFrom > now);
      if (signing !== undefined && !waiting) {
        await this.#replace([
          ...this.#authorities,
          await this.#create(activationTime(signing, this.#rotation(), now)),
        ]);
      }
      this.#schedule();
    });
  }

  check(): Promise<void> {
    return this.#inTurn(() => this.#step());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.stop();
    await this.#queue;
  }

  /** One change at a time: a rotation must not remove the authority that is just signing. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #step(): Promise<void> {
    const due = dueSteps(this.#authorities, this.#rotation(), this.#now());
    if (due.create !== undefined || due.remove.length > 0) {
      const kept = this.#authorities.filter((authority) => !due.remove.includes(authority));
      const created = due.create === undefined ? [] : [await this.#create(due.create.signsFrom)];
      await this.#replace([...kept, ...created]);
    }
    this.#schedule();
  }

  async #create(signsFrom: number): Promise<StoredAuthority> {
    const { trustDomain, caKeyType: keyType, caTtlSeconds: ttlSeconds } = this.#options;
    const now = this.#now();
    const created = await createAuthority({ trustDomain, keyType, ttlSeconds, now });
    return { ...created, keyType, notBefore: now, signsFrom, svidsUntil: 0 };
  }

  async #replace(authorities: readonly StoredAuthority[]): Promise<void> {
    await this.#write(authorities, this.#reserved);
    this.#authorities = authorities;
    for (const listener of this.#listeners) {
      listener();
    }
  }

  #write(authorities: readonly StoredAuthority[], reserved: ReadonlyMap<Uint8Array, number>): Promise<void> {
    const stored = authorities.map((authority) => ({
      ...authority,
      svidsUntil: Math.max(authority.svidsUntil, reserved.get(authority.certificate) ?? 0),
    }));
    return writeAuthorities(this.#options.directory, this.trustDomain, stored);
  }

  async #sign(request: SvidRequest): Promise<Svid> {
    const now = this.#now();
    const authority = signingAuthority(this.#authorities, now);
    if (authority === undefined) {
      throw new Error(`the trust domain ${this.trustDomain} has no valid authority: its life is too short`);
    }
    const signed = await signSvid(await this.#load(authority), { ...request, now });
    await this.#remember(authority, signed.notAfter, request.ttlSeconds * 1000);
    return {
      spiffeId: request.spiffeId,
      certificates: [signed.certificate],
      key: signed.key,
      notAfter: new Date(signed.notAfter),
    };
  }

  async #load(authority: StoredAuthority): Promise<SigningAuthority> {
    let loaded = this.#loaded.get(authority.certificate);
    if (loaded === undefined) {
      loaded = await loadAuthority(authority.keyType, authority.certificate, authority.key);
      this.#loaded.clear();
      this.#loaded.set(authority.certificate, loaded);
    }
    return loaded;
  }

  /** Keeps the expiry of the last SVID. On disk it is one SVID life ahead, so that not every SVID costs a write. */
  async #remember(authority: StoredAuthority, notAfter: number, ahead: number): Promise<void> {
    const svidsUntil = Math.max(authority.svidsUntil, notAfter);
    this.#authorities = this.#authorities.map((entry) =>
      entry === authority ? { ...entry, svidsUntil } : entry,
    );
    if (notAfter > (this.#reserved.get(authority.certificate) ?? 0)) {
      const until = Math.min(notAfter + ahead, authority.notAfter);
      const reserved = new Map(this.#reserved).set(authority.certificate, until);
      await this.#write(this.#authorities, reserved).then(() => (this.#reserved = reserved), this.#report);
    }
  }

  #rotation(): { keyType: CaKeyType; overlap: number } {
    const overlap = (this.#options.overlapSeconds ?? defaultOverlapSeconds) * 1000;
    return { keyType: this.#options.caKeyType, overlap };
  }

  #schedule(): void {
    if (this.#closed) {
      return;
    }
    const now = this.#now();
    this.#wake(nextDue(this.#authorities, now) - now);
  }

  #wake(milliseconds: number): void {
    this.#timer?.stop();
    this.#timer = startTimer(milliseconds, () => {
      this.check().catch((error: Error) => {
        this.#report(error);
        if (!this.#closed) {
          this.#wake(retryMilliseconds);
        }
      });
    });
  }

  readonly #report = (error: Error): void => {
    (this.#options.onError ?? process.emitWarning)(error);
  };
}
