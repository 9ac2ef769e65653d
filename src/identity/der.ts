/** The little of ASN.1 DER and PEM that moving certificates around takes. */

/** One certificate after the other, as the Workload API sends chains and bundles. */
export function concatenateDer(certificates: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(certificates);
}

/** Undoes `concatenateDer`; throws RangeError when the bytes are not a sequence of whole DER elements. */
export function splitDer(bytes: Uint8Array): Uint8Array[] {
  const elements: Uint8Array[] = [];
  let start = 0;
  while (start < bytes.length) {
    const end = start + elementLength(bytes, start);
    if (end > bytes.length) {
      throw new RangeError(`DER element at byte ${start} ends beyond the input`);
    }
    elements.push(bytes.slice(start, end));
    start = end;
  }
  return elements;
}

/** Certificates as PEM text, in the same order. */
export function certificatesToPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((certificate) => toPem("CERTIFICATE", certificate)).join("");
}

/** A PKCS#8 key as PEM text. */
export function privateKeyToPem(key: Uint8Array): string {
  return toPem("PRIVATE KEY", key);
}

function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Length of the whole element at `start`: tag, length octets and content (X.690, sections 8.1.3 and 10.1). */
function elementLength(bytes: Uint8Array, start: number): number {
  const sequence = 0x30;
  const first = bytes[start + 1];
  if (bytes[start] !== sequence || first === undefined) {
    throw new RangeError(`no DER sequence at byte ${start}`);
  }
  if (first < 0x80) {
    return 2 + first;
  }
  const octets = first & 0x7f;
  if (octets === 0 || octets > 4 || start + 2 + octets > bytes.length) {
    throw new RangeError(`unreadable DER length at byte ${start}`);
  }
  let length = 0;
  for (let index = 0; index < octets; index += 1) {
    length = length * 256 + (bytes[start + 2 + index] ?? 0);
  }
  return 2 + octets + length;
}
