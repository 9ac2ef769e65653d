/** Addresses in canonical text (see `addressKey` in src/wire/keys.ts) and ranges of them. */

const hexDigits = "0123456789abcdef";

function hexDigit(text: string): number {
  return hexDigits.indexOf(text);
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

/** Two hexadecimal digits. */
export function hexByte(byte: number): string {
  const high = Math.floor(byte / 16);
  const low = byte % 16;
  return hexDigits.substring(high, high + 1) + hexDigits.substring(low, low + 1);
}

function hexGroup(group: string): string | undefined {
  if (group.length < 1 || group.length > 4) {
    return undefined;
  }
  for (let i = 0; i < group.length; i++) {
    if (hexDigit(group.substring(i, i + 1)) < 0) {
      return undefined;
    }
  }
  return "0000".substring(group.length) + group;
}

/** Groups of four hexadecimal digits, without their colons; undefined when the text is none. */
function hexGroups(text: string): string | undefined {
  if (text === "") {
    return "";
  }
  let digits = "";
  const groups = text.split(":");
  for (let i = 0; i < groups.length; i++) {
    const digitsOfGroup = hexGroup(groups[i]!);
    if (digitsOfGroup === undefined) {
      return undefined;
    }
    digits = digits + digitsOfGroup;
  }
  return digits;
}

/** An IPv4 address at the end of an IPv6 one, as two groups. */
function withoutDots(text: string): string {
  const parts = text.split(":");
  const last = parts[parts.length - 1]!;
  const bytes = addressBytes(last);
  if (bytes.length !== 4) {
    return text;
  }
  const before = text.substring(0, text.length - last.length);
  return `${before}${hexByte(bytes[0]!)}${hexByte(bytes[1]!)}:${hexByte(bytes[2]!)}${hexByte(bytes[3]!)}`;
}

/** Canonical text (see `addressKey`) of an address as people write it (RFC 4291, 2.2); undefined when it is none. */
export function canonicalText(written: string): string | undefined {
  if (written.indexOf(":") < 0) {
    return written.length !== 32 && addressBytes(written).length === 4 ? written : undefined;
  }
  const text = withoutDots(written.toLowerCase());
  const gap = text.indexOf("::");
  const before = hexGroups(gap < 0 ? text : text.substring(0, gap));
  const after = gap < 0 ? "" : hexGroups(text.substring(gap + 2));
  if (before === undefined || after === undefined) {
    return undefined;
  }
  const missing = 32 - before.length - after.length;
  if (gap < 0 ? missing !== 0 : missing < 4) {
    return undefined;
  }
  return `${before}${"00000000000000000000000000000000".substring(0, missing)}${after}`;
}

/** An address of canonical text as it stands in a URL. */
export function addressInUrl(address: string): string {
  if (address.length !== 32) {
    return address;
  }
  let text = "";
  for (let i = 0; i < 32; i += 4) {
    text = text === "" ? address.substring(0, 4) : `${text}:${address.substring(i, i + 4)}`;
  }
  return `[${text}]`;
}
