/** Addresses in the canonical text of the contract. */
import { isIPv4, isIPv6 } from "node:net";

function groupsOf(part: string): number[] {
  return part === ""
    ? []
    : part
        .split(":")
        .flatMap((group) => (group.includes(".") ? v4Groups(group) : [Number.parseInt(group, 16)]));
}

function v4Groups(text: string): number[] {
  const [a, b, c, d] = text.split(".").map(Number) as [number, number, number, number];
  return [a * 256 + b, c * 256 + d];
}

/** IPv4 dotted, or IPv6 as 32 lower-case hexadecimal digits. Throws RangeError for what is no address. */
export function canonicalAddress(address: string): string {
  if (isIPv4(address)) {
    return address;
  }
  if (!isIPv6(address)) {
    throw new RangeError(`"${address}" is not an IP address`);
  }
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const start = groupsOf(head);
  const end = tail === undefined ? [] : groupsOf(tail);
  const middle = Array.from({ length: 8 - start.length - end.length }, () => 0);
  return [...start, ...middle, ...end].map((group) => group.toString(16).padStart(4, "0")).join("");
}

/** A range `address/prefix length` with its address in canonical text. */
export function canonicalRange(range: string): string {
  const slash = range.indexOf("/");
  return `${canonicalAddress(range.slice(0, slash))}${range.slice(slash)}`;
}
