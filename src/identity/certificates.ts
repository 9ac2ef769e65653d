/** X.509 as the X509-SVID standard profiles it (sections 3 and 4): the authority's certificate and the SVIDs that it signs. */

// @peculiar/x509 finds its parts through this polyfill and does not load without it.
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { randomBytes, webcrypto } from "node:crypto";
import { Secret } from "./secret.ts";

/** `mtls.caKeyType` of the public interface. */
export type CaKeyType = "ec-p256" | "ec-p384" | "rsa-2048" | "rsa-4096";
export const caKeyTypes: readonly CaKeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"];

/** Clocks of two hosts differ by this much without a new certificate being refused; SPIRE uses the same. */
const backdateMilliseconds = 10_000;

/** A signing key with its certificate, ready to sign. */
export interface SigningAuthority {
  readonly keyType: CaKeyType;
  readonly certificate: X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
}

/** A new authority as it is stored: certificate in DER, key in PKCS#8 DER. */
export interface NewAuthority {
  readonly certificate: Uint8Array;
  readonly key: Secret;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** A signed SVID: certificate in DER, key in PKCS#8 DER. */
export interface SignedSvid {
  readonly certificate: Uint8Array;
  readonly key: Secret;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

type KeyParameters = webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams;

/** A self-signed authority for the trust domain, valid from `now` on. */
export async function createAuthority(options: {
  readonly trustDomain: string;
  readonly keyType: CaKeyType;
  readonly ttlSeconds: number;
  readonly now: number;
}): Promise<NewAuthority> {
  const keys = await generateKeys(keyParameters(options.keyType));
  const notAfter = wholeSeconds(options.now + options.ttlSeconds * 1000);
  const serialNumber = randomSerial();
  const subject = [{ O: ["nginx-mesh"] }, { CN: ["SPIFFE authority"] }, { "2.5.4.5": [serialNumber] }];
  const certificate = await X509CertificateGenerator.create({
    serialNumber,
    subject,
    issuer: subject,
    notBefore: new Date(options.now - backdateMilliseconds),
    notAfter: new Date(notAfter),
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: signingAlgorithm(options.keyType),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      uriName(`spiffe://${options.trustDomain}`),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: new Uint8Array(certificate.rawData), key: await exportKey(keys), notAfter };
}

/** Puts a stored authority to use; throws what the parser throws when certificate or key cannot be read. */
export async function loadAuthority(
  keyType: CaKeyType,
  certificate: Uint8Array,
  key: Secret,
): Promise<SigningAuthority> {
  const privateKey = await webcrypto.subtle.importKey("pkcs8", key.reveal(), keyParameters(keyType), false, [
    "sign",
  ]);
  return { keyType, certificate: new X509Certificate(Uint8Array.from(certificate)), privateKey };
}

/** An X509-SVID with a new P-256 key; it never outlives the authority that signs it. */
export async function signSvid(
  authority: SigningAuthority,
  options: {
    readonly spiffeId: string;
    readonly ttlSeconds: number;
    readonly now: number;
    readonly dnsNames?: readonly string[];
  },
): Promise<SignedSvid> {
  const keys = await generateKeys(keyParameters("ec-p256"));
  const notAfter = Math.min(
    wholeSeconds(options.now + options.ttlSeconds * 1000),
    authority.certificate.notAfter.getTime(),
  );
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: [{ O: ["nginx-mesh"] }],
    issuer: authority.certificate.subjectName,
    notBefore: new Date(options.now - backdateMilliseconds),
    notAfter: new Date(notAfter),
    publicKey: keys.publicKey,
    signingKey: authority.privateKey,
    signingAlgorithm: signingAlgorithm(authority.keyType),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      uriName(options.spiffeId, options.dnsNames),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
    ],
  });
  return { certificate: new Uint8Array(certificate.rawData), key: await exportKey(keys), notAfter };
}

function uriName(uri: string, dnsNames: readonly string[] = []): Extension {
  return new SubjectAlternativeNameExtension([
    { type: "url", value: uri },
    ...dnsNames.map((value) => ({ type: "dns", value }) as const),
  ]);
}

function generateKeys(parameters: KeyParameters): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
}

async function exportKey(keys: webcrypto.CryptoKeyPair): Promise<Secret> {
  return new Secret(new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)));
}

function keyParameters(keyType: CaKeyType): KeyParameters {
  switch (keyType) {
    case "ec-p256":
      return { name: "ECDSA", namedCurve: "P-256" };
    case "ec-p384":
      return { name: "ECDSA", namedCurve: "P-384" };
    case "rsa-2048":
      return rsaParameters(2048);
    case "rsa-4096":
      return rsaParameters(4096);
    default:
      return keyType satisfies never;
  }
}

function rsaParameters(modulusLength: number): webcrypto.RsaHashedKeyGenParams {
  return {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
}

function signingAlgorithm(keyType: CaKeyType): webcrypto.EcdsaParams | webcrypto.Algorithm {
  switch (keyType) {
    case "ec-p256":
      return { name: "ECDSA", hash: "SHA-256" };
    case "ec-p384":
      return { name: "ECDSA", hash: "SHA-384" };
    case "rsa-2048":
    case "rsa-4096":
      return { name: "RSASSA-PKCS1-v1_5" };
    default:
      return keyType satisfies never;
  }
}

/** 127 random bits, positive and without leading zero (RFC 5280, section 4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString("hex");
}

/** Certificates know whole seconds only. */
function wholeSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}
