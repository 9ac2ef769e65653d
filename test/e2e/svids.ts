/** Certificates of a test mesh's own authority, as files of PEM. */
// @peculiar/x509 finds its parts through this polyfill and does not load without it.
import "reflect-metadata";
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { readAuthorities } from "../../src/identity/authority-store.ts";
import { loadAuthority } from "../../src/identity/certificates.ts";
import { type Authority, openAuthority, type Svid } from "../../src/identity/authority.ts";

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

function pem(kind: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN ${kind}-----\n${lines}\n-----END ${kind}-----\n`;
}

/** The authority in this folder, as local mode opens its own; a new one where there is none. `now`: the signer's clock. */
export function authorityIn(directory: string, now?: () => Date): Promise<Authority> {
  return openAuthority({
    trustDomain: "example.org",
    caKeyType: "ec-p256",
    caTtlSeconds: 2_592_000,
    directory,
    ...(now === undefined ? {} : { now }),
  });
}

export function pemOf(svid: Svid): Pem {
  return {
    cert: svid.certificates.map((der) => pem("CERTIFICATE", der)).join(""),
    key: pem("PRIVATE KEY", svid.key.reveal()),
  };
}

export function bundlePem(authority: Authority): string {
  return authority
    .bundle()
    .map((der) => pem("CERTIFICATE", der))
    .join("");
}

/** A certificate that the authority would never issue, signed with its key; `authority`: it may sign others. */
export async function signProfile(
  directory: string,
  trustDomain: string,
  profile: { readonly uris: readonly string[]; readonly authority?: boolean },
): Promise<Pem> {
  const [stored] = await readAuthorities(directory, trustDomain);
  assert.ok(stored !== undefined, `no authority in ${directory}`);
  const signer = await loadAuthority(stored.keyType, stored.certificate, stored.key);
  const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
  const names: Extension[] =
    profile.uris.length === 0
      ? []
      : [new SubjectAlternativeNameExtension(profile.uris.map((value) => ({ type: "url", value })))];
  const certificate = await X509CertificateGenerator.create({
    subject: [{ O: ["test"] }],
    issuer: signer.certificate.subjectName,
    notBefore: new Date(Date.now() - 10_000),
    notAfter: new Date(Date.now() + 600_000),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new BasicConstraintsExtension(profile.authority === true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      ...names,
    ],
  });
  return {
    cert: pem("CERTIFICATE", new Uint8Array(certificate.rawData)),
    key: pem("PRIVATE KEY", new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey))),
  };
}
