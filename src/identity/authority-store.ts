/** The authorities on disk: one file, replaced as a whole, readable by its owner only. */

import { chmod, mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { caKeyTypes } from "./certificates.ts";
import type { AuthorityTimes } from "./rotation.ts";
import { Secret } from "./secret.ts";

export interface StoredAuthority extends AuthorityTimes {
  /** DER. */
  readonly certificate: Uint8Array;
  /** PKCS#8, DER. */
  readonly key: Secret;
}

export class AuthorityStoreError extends Error {
  override readonly name = "AuthorityStoreError";
}

const time = z.number().int().nonnegative();
const fileSchema = z.object({
  version: z.literal(1),
  trustDomain: z.string(),
  authorities: z.array(
    z.object({
      keyType: z.enum(caKeyTypes),
      certificate: z.base64(),
      key: z.base64(),
      notBefore: time,
      notAfter: time,
      signsFrom: time,
      svidsUntil: time,
    }),
  ),
});

const fileName = "authority.json";

/** Creates the folder (mode 0700) when it is missing; throws AuthorityStoreError when what is there cannot be used. */
export async function readAuthorities(directory: string, trustDomain: string): Promise<StoredAuthority[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const path = join(directory, fileName);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") {
      return undefined;
    }
    throw new AuthorityStoreError(`cannot read the certificate authority from ${path}`, { cause: error });
  });
  return text === undefined ? [] : decode(path, text, trustDomain);
}

/** Replaces the file: after a crash it holds either the old or the new content. */
export async function writeAuthorities(
  directory: string,
  trustDomain: string,
  authorities: readonly StoredAuthority[],
): Promise<void> {
  const path = join(directory, fileName);
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(encode(trustDomain, authorities));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    throw new AuthorityStoreError(`cannot write the certificate authority to ${path}`, { cause: error });
  }
}

function encode(trustDomain: string, authorities: readonly StoredAuthority[]): string {
  const content = {
    version: 1,
    trustDomain,
    authorities: authorities.map((authority) => ({
      ...authority,
      certificate: Buffer.from(authority.certificate).toString("base64"),
      key: Buffer.from(authority.key.reveal()).toString("base64"),
    })),
  };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

function decode(path: string, text: string, trustDomain: string): StoredAuthority[] {
  const advice =
    "Restore the file, or remove it to start with a new authority, which every workload must then learn anew";
  let content: z.infer<typeof fileSchema>;
  try {
    content = fileSchema.parse(JSON.parse(text));
  } catch {
    // The parser's message would quote the file, which holds the keys.
    throw new AuthorityStoreError(
      `${path} is not a certificate authority that this version can read. ${advice}`,
    );
  }
  if (content.trustDomain !== trustDomain) {
    throw new AuthorityStoreError(
      `${path} belongs to the trust domain ${content.trustDomain}, not to ${trustDomain}: use another folder for each`,
    );
  }
  return content.authorities.map((authority) => ({
    ...authority,
    certificate: new Uint8Array(Buffer.from(authority.certificate, "base64")),
    key: new Secret(new Uint8Array(Buffer.from(authority.key, "base64"))),
  }));
}
