/** Certificates of a test mesh's own authority, as files of PEM. */
import type { Authority, Svid } from "../../src/identity/authority.ts";

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

function pem(kind: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN ${kind}-----\n${lines}\n-----END ${kind}-----\n`;
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
