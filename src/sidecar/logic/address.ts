/** Addresses in canonical text (see `addressKey` in src/wire/keys.ts) and ranges of them. */

function hexDigit(text: string): number {
  return "0123456789abcdef".indexOf(text);
}

/** A number from 0 to 255 in decimal digits; -1 when the text is none. */
function decimalByte(text: string): number {
  let value = text.length === 0 || text.length > 3 ? -1 : 0;
  for (let i = 0; i < text.length && value >= 0; i++) {
    const digit = "0123456789".indexOf(text.substring(i, i + 1));
    value = digit < 0 ? -1 : value * 10 + digit;
  }
  return value > 255 ? -1 : value;
}

/** The bytes of an address: 4 or 16; empty when the text is no address. */
export function addressBytes(address: string): number[] {
  const bytes: number[] = [];
  if (address.length === 32 && address.indexOf(".") < 0) {
    for (let i = 0; i < 32; i += 2) {
      const high = hexDigit(address.substring(i, i + 1));
      const low = hexDigit(address.substring(i + 1, i + 2));
      if (high < 0 || low < 0) {
        return [];
      }
      bytes.push(high * 16 + low);
    }
    return bytes;
  }
  const parts = address.split(".");
  if (parts.length !== 4) {
    return [];
  }
  for (let i = 0; i < 4; i++) {
    const byte = decimalByte(parts[i]!);
    if (byte < 0) {
      return [];
    }
    bytes.push(byte);
  }
  return bytes;
}

/** Whether the address lies in the range `address/prefix length`, whose address is canonical text. */
export function inRange(address: string, range: string): boolean {
  const slash = range.indexOf("/");
  if (slash < 0) {
    return false;
  }
  const base = addressBytes(range.substring(0, slash));
  const bits = decimalByte(range.substring(slash + 1));
  const bytes = addressBytes(address);
  if (base.length === 0 || base.length !== bytes.length || bits < 0 || bits > bytes.length * 8) {
    return false;
  }
  let left = bits;
  for (let i = 0; i < bytes.length && left > 0; i++) {
    const size = left >= 8 ? 1 : 2 ** (8 - left);
    if (Math.floor(bytes[i]! / size) !== Math.floor(base[i]! / size)) {
      return false;
    }
    left = left - 8;
  }
  return true;
}
