/** The certificate with which the API server knows the webhook: made here, without cert-manager. */

// @peculiar/x509 finds its parts through this polyfill and does not load without it.
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { certificatesToPem, privateKeyToPem } from "../identity/der.ts";
import { Secret } from "../identity/secret.ts";

/** What the Secret holds, in PEM: as in Secrets of type `kubernetes.io/tls`. */
export interface StoredCertificate {
  /** `tls.crt`. */
  readonly certificate: string;
  /** `tls.key`. */
  readonly key: Secret;
  /** `ca.crt`: who signed it, and who signed the one before, which other replicas may still use. */
  readonly authorities: string;
}

/** Life of a certificate: it is replaced when a third of it is left. */
export const lifeMilliseconds = 90 * 24 * 3600 * 1000;
/** The API server's clock may be behind by this much. */
const backdateMilliseconds = 3600 * 1000;

const algorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signing = { name: "ECDSA", hash: "SHA-256" } as const;

function randomSerial(): string {
  const bytes = randomBytes(16);
  // positive and without a leading zero (RFC 5280, section 4.1.2.2)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString("hex");
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/** An authority that signs this one certificate: its key is kept nowhere. */
async function newAuthority(keys: webcrypto.CryptoKeyPair, validity: { notBefore: Date; notAfter: Date }) {
  const serialNumber = randomSerial();
  const name = [{ O: ["nginx-mesh"] }, { CN: [`webhook authority ${serialNumber.slice(0, 8)}`] }];
  return await X509CertificateGenerator.create({
    ...validity,
    serialNumber,
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: signing,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
}

/** A new authority and a certificate for the names, valid from `now` (milliseconds since the epoch) on. */
export async function createCertificate(names: readonly string[], now: number): Promise<StoredCertificate> {
  const validity = {
    notBefore: new Date(now - backdateMilliseconds),
    notAfter: new Date(now + lifeMilliseconds),
  };
  const [authorityKeys, keys] = await Promise.all([newKeys(), newKeys()]);
  const authority = await newAuthority(authorityKeys, validity);
  const certificate = await X509CertificateGenerator.create({
    ...validity,
    serialNumber: randomSerial(),
    subject: [{ CN: [names[0]!.slice(0, 64)] }],
    issuer: authority.subjectName,
    publicKey: keys.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: signing,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns", value }))),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const key = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  return {
    certificate: certificatesToPem([new Uint8Array(certificate.rawData)]),
    key: new Secret(Buffer.from(privateKeyToPem(key))),
    authorities: certificatesToPem([new Uint8Array(authority.rawData)]),
  };
}

/** `due`: it works, and should be replaced. `reason` is for the log. */
export type Judgement =
  { readonly verdict: "good" } | { readonly verdict: "due" | "unusable"; readonly reason: string };

function certificatesIn(pem: string): readonly X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  return found.map((text) => new X509Certificate(text));
}

function unusable(stored: StoredCertificate, names: readonly string[], now: number): string | undefined {
  const certificate = new X509Certificate(stored.certificate);
  const signers = certificatesIn(stored.authorities);
  if (!certificate.checkPrivateKey(createPrivateKey(Buffer.from(stored.key.reveal()).toString()))) {
    return "its key belongs to another certificate";
  }
  if (!signers.some((signer) => certificate.checkIssued(signer) && certificate.verify(signer.publicKey))) {
    return "none of its authorities signed it";
  }
  const missing = names.find((name) => certificate.checkHost(name) === undefined);
  if (missing !== undefined) {
    return `it is not for ${missing}`;
  }
  if (certificate.validToDate.getTime() <= now) {
    return `it expired at ${certificate.validToDate.toISOString()}`;
  }
  return certificate.validFromDate.getTime() > now
    ? `it is not valid before ${certificate.validFromDate.toISOString()}`
    : undefined;
}

/** Whether a stored certificate is of use for the names; what somebody else wrote there may be anything. */
export function judge(stored: StoredCertificate, names: readonly string[], now: number): Judgement {
  try {
    const reason = unusable(stored, names, now);
    if (reason !== undefined) {
      return { verdict: "unusable", reason };
    }
  } catch (error) {
    return { verdict: "unusable", reason: `it cannot be read: ${(error as Error).message}` };
  }
  const { validFromDate, validToDate } = new X509Certificate(stored.certificate);
  const life = validToDate.getTime() - validFromDate.getTime();
  return validToDate.getTime() - now < life / 3
    ? { verdict: "due", reason: `it expires at ${validToDate.toISOString()}` }
    : { verdict: "good" };
}

/** The authorities of `fresh`, and of `old` those that are valid still: certificates of both are in use for a while. */
export function withFormer(fresh: StoredCertificate, old: StoredCertificate, now: number): StoredCertificate {
  const former = certificatesIn(old.authorities).filter(
    (authority) => authority.ca && authority.validToDate.getTime() > now,
  );
  return {
    ...fresh,
    authorities:
      fresh.authorities +
      former
        .slice(0, 1)
        .map((each) => each.toString())
        .join(""),
  };
}
