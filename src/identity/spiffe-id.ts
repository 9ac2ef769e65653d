/**
 * SPIFFE IDs and trust domain names, as strictly as the SPIFFE ID standard allows (sections 2.1 to 2.3): no
 * percent encoding, no upper case in the trust domain, no empty or relative path segment. One spelling per
 * identity, so identities can be compared as text.
 */

/** Longest SPIFFE ID in bytes (section 2.3). */
export const longestSpiffeId = 2048;
/** Longest trust domain name in bytes (section 2.3). */
export const longestTrustDomain = 255;

const trustDomainCharacters = /^[a-z0-9._-]+$/;
const segmentCharacters = /^[a-zA-Z0-9._-]+$/;
const scheme = "spiffe://";

/** A SPIFFE ID in its parts; `segments` is empty for the ID of the trust domain itself. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly segments: readonly string[];
}

/** Thrown by the parsers of this file, and the only thing they throw. */
export class SpiffeIdError extends Error {
  override readonly name = "SpiffeIdError";

  constructor(text: string, reason: string) {
    super(`${JSON.stringify(shorten(text))} is not valid: ${reason}`);
  }
}

/** Returns the name itself; throws SpiffeIdError when it is not a trust domain name such as `example.org`. */
export function parseTrustDomain(name: string): string {
  if (name === "") {
    throw new SpiffeIdError(name, "a trust domain name is empty");
  }
  if (name.length > longestTrustDomain) {
    throw new SpiffeIdError(name, `a trust domain name has at most ${longestTrustDomain} bytes`);
  }
  if (!trustDomainCharacters.test(name)) {
    throw new SpiffeIdError(
      name,
      "a trust domain name holds only lower-case letters, digits, dots, dashes and underscores",
    );
  }
  return name;
}

/** Throws SpiffeIdError; `formatSpiffeId` of the result gives the same text again. */
export function parseSpiffeId(text: string): SpiffeId {
  if (!text.startsWith(scheme)) {
    throw new SpiffeIdError(text, `a SPIFFE ID starts with ${scheme}`);
  }
  if (text.length > longestSpiffeId) {
    throw new SpiffeIdError(text, `a SPIFFE ID has at most ${longestSpiffeId} bytes`);
  }
  const [trustDomain = "", ...segments] = text.slice(scheme.length).split("/");
  parseTrustDomain(trustDomain);
  for (const segment of segments) {
    checkSegment(text, segment);
  }
  return { trustDomain, segments };
}

/** The text of a SPIFFE ID; the inverse of `parseSpiffeId`. */
export function formatSpiffeId(id: SpiffeId): string {
  return scheme + [id.trustDomain, ...id.segments].join("/");
}

function checkSegment(text: string, segment: string): void {
  if (segment === "") {
    throw new SpiffeIdError(text, "a path has no empty segment and no slash at its end");
  }
  if (segment === "." || segment === "..") {
    throw new SpiffeIdError(text, "a path has no relative segment");
  }
  if (!segmentCharacters.test(segment)) {
    throw new SpiffeIdError(text, "a path holds only letters, digits, dots, dashes and underscores");
  }
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}
