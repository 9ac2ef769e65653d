/** Reading of the Workload API's messages (Protocol Buffers encoding): the two that a client of X509-SVIDs needs. */

import type { X509Svid, X509SvidResponse } from "./workload-protocol.ts";

const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

function readVarint(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let i = 0; i < 10; i += 1) {
    const byte = bytes[start + i];
    if (byte === undefined) {
      break;
    }
    // sizes and field numbers are far below 2^53; a larger number fails the check of its use
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) {
      return { value, end: start + i + 1 };
    }
  }
  throw new RangeError(`no number at byte ${start} of the message`);
}

/** Calls `take` for each field of bytes, and passes over the others. Throws RangeError for what is no message. */
function readFields(bytes: Uint8Array, take: (field: number, content: Uint8Array) => void): void {
  let at = 0;
  while (at < bytes.length) {
    const tag = readVarint(bytes, at);
    const field = Math.floor(tag.value / 8);
    at = tag.end;
    switch (tag.value % 8) {
      case wireTypes.varint:
        at = readVarint(bytes, at).end;
        break;
      case wireTypes.fixed64:
        at += 8;
        break;
      case wireTypes.fixed32:
        at += 4;
        break;
      case wireTypes.bytes: {
        const size = readVarint(bytes, at);
        at = size.end + size.value;
        if (at <= bytes.length) {
          take(field, bytes.subarray(size.end, at));
        }
        break;
      }
      default:
        throw new RangeError(`field ${field} has a type that is unknown`);
    }
  }
  if (at > bytes.length) {
    throw new RangeError("the message ends within a field");
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function decodeSvid(bytes: Uint8Array): X509Svid {
  const nothing = new Uint8Array();
  const svid = { spiffeId: "", x509Svid: nothing, x509SvidKey: nothing, bundle: nothing };
  readFields(bytes, (field, content) => {
    switch (field) {
      case 1:
        svid.spiffeId = text(content);
        break;
      case 2:
        svid.x509Svid = content.slice();
        break;
      case 3:
        svid.x509SvidKey = content.slice();
        break;
      case 4:
        svid.bundle = content.slice();
        break;
      default:
    }
  });
  return svid;
}

/** The identities of a response; its other fields are left out. Throws RangeError or TypeError for what is none. */
export function decodeX509SvidResponse(bytes: Uint8Array): X509SvidResponse {
  const svids: X509Svid[] = [];
  readFields(bytes, (field, content) => {
    if (field === 1) {
      svids.push(decodeSvid(content));
    }
  });
  return { svids };
}
