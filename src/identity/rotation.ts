/**
 * When which authority signs, and what is due next: pure decisions over the stored authorities. A new authority is
 * published in the bundle first and signs only `overlap` later, so that everyone who verifies knows it by then; the
 * old one stays in the bundle until the last SVID that it signed has expired.
 */

import type { CaKeyType } from "./certificates.ts";

/** All times are milliseconds since the epoch. */
export interface AuthorityTimes {
  readonly keyType: CaKeyType;
  readonly notBefore: number;
  readonly notAfter: number;
  /** From then on it signs, until the next one does. */
  readonly signsFrom: number;
  /** Expiry of the last SVID that it signed; 0: none. */
  readonly svidsUntil: number;
}

export interface RotationSettings {
  readonly keyType: CaKeyType;
  /** How long a new authority is published before it signs. */
  readonly overlap: number;
}

/** What to do now, in this order. */
export interface DueSteps<T> {
  readonly remove: readonly T[];
  /** Publish a new authority that signs from then on. */
  readonly create?: { readonly signsFrom: number };
}

/** The authority that signs at `now`: the newest of those whose time has come. */
export function signingAuthority<T extends AuthorityTimes>(
  authorities: readonly T[],
  now: number,
): T | undefined {
  let signing: T | undefined;
  for (const authority of authorities) {
    const usable = authority.signsFrom <= now && authority.notAfter > now;
    if (usable && (signing === undefined || authority.signsFrom >= signing.signsFrom)) {
      signing = authority;
    }
  }
  return signing;
}

/** What is due at `now`. */
export function dueSteps<T extends AuthorityTimes>(
  authorities: readonly T[],
  settings: RotationSettings,
  now: number,
): DueSteps<T> {
  const signing = signingAuthority(authorities, now);
  const remove = authorities.filter((authority) => isSpent(authority, signing, now));
  if (signing === undefined) {
    return { remove, create: { signsFrom: now } };
  }
  const waiting = authorities.some((authority) => authority.signsFrom > now);
  const outdated = signing.keyType !== settings.keyType || now >= renewalTime(signing);
  return waiting || !outdated
    ? { remove }
    : { remove, create: { signsFrom: activationTime(signing, settings, now) } };
}

/** When a successor that is published at `now` starts to sign. */
export function activationTime(signing: AuthorityTimes, settings: RotationSettings, now: number): number {
  const longest = (signing.notAfter - signing.notBefore) / 4;
  return Math.min(now + Math.min(settings.overlap, longest), signing.notAfter);
}

/** When `dueSteps` or `signingAuthority` will next give another answer. */
export function nextDue(authorities: readonly AuthorityTimes[], now: number): number {
  const signing = signingAuthority(authorities, now);
  if (signing === undefined) {
    return now;
  }
  const times = authorities.flatMap((authority) =>
    authority === signing
      ? [authority.notAfter, renewalTime(authority)]
      : [authority.notAfter, authority.signsFrom, authority.svidsUntil],
  );
  return Math.min(...times.filter((time) => time > now));
}

function isSpent(authority: AuthorityTimes, signing: AuthorityTimes | undefined, now: number): boolean {
  if (authority.notAfter <= now) {
    return true;
  }
  const superseded = signing !== undefined && authority.signsFrom < signing.signsFrom;
  return superseded && authority.svidsUntil <= now;
}

/** Half of its life is left for publishing the next one. */
function renewalTime(authority: AuthorityTimes): number {
  return authority.notBefore + (authority.notAfter - authority.notBefore) / 2;
}
