/**
 * Names to addresses, without sockets: what /etc/resolv.conf says (resolv.conf(5)), which names to try, and
 * messages of DNS (RFC 1035) as strings of bytes. Only what a name of a Service needs: A and AAAA over UDP.
 */

import { hexByte } from "./address.ts";

export interface ResolverSettings {
  /** As written; at most 3. */
  readonly servers: readonly string[];
  readonly search: readonly string[];
  /** A name with fewer dots is tried with the search list first. */
  readonly ndots: number;
  /** Seconds. */
  readonly timeout: number;
  readonly attempts: number;
}

export const typeA = 1;
export const typeAaaa = 28;

const mostServers = 3;
const longestName = 253;
const longestLabel = 63;

function words(line: string): string[] {
  const result: string[] = [];
  const parts = line.split("\t").join(" ").split(" ");
  for (let i = 0; i < parts.length; i++) {
    if (parts[i] !== "") {
      result.push(parts[i]!);
    }
  }
  return result;
}

function optionNumber(option: string, name: string, otherwise: number, most: number): number {
  if (option.indexOf(`${name}:`) !== 0) {
    return otherwise;
  }
  const value = Number(option.substring(name.length + 1));
  return value >= 0 && value <= most ? Math.floor(value) : otherwise;
}

/** Settings as the C library has them: without a server the local one is asked, the last search list counts. */
export function readResolverSettings(text: string): ResolverSettings {
  const servers: string[] = [];
  let search: readonly string[] = [];
  let ndots = 1;
  let timeout = 5;
  let attempts = 2;
  const lines = text.split("\r").join("").split("\n");
  for (let i = 0; i < lines.length; i++) {
    const [keyword, ...values] = words(lines[i]!);
    if (keyword === "nameserver" && values[0] !== undefined && servers.length < mostServers) {
      servers.push(values[0]);
    } else if (keyword === "search" || keyword === "domain") {
      search = values;
    } else if (keyword === "options") {
      for (let j = 0; j < values.length; j++) {
        ndots = optionNumber(values[j]!, "ndots", ndots, 15);
        timeout = optionNumber(values[j]!, "timeout", timeout, 30);
        attempts = optionNumber(values[j]!, "attempts", attempts, 5);
      }
    }
  }
  return {
    servers: servers.length === 0 ? ["127.0.0.1"] : servers,
    search,
    ndots,
    timeout: timeout < 1 ? 1 : timeout,
    attempts: attempts < 1 ? 1 : attempts,
  };
}

function without(name: string, end: string): string {
  return name.length > 0 && name.substring(name.length - 1) === end
    ? name.substring(0, name.length - 1)
    : name;
}

/** The full names to ask for, without a closing dot, in order. */
export function candidateNames(name: string, settings: ResolverSettings): string[] {
  const bare = without(name, ".");
  if (bare !== name) {
    return [bare];
  }
  const result: string[] = [];
  const dots = name.split(".").length - 1;
  if (dots >= settings.ndots) {
    result.push(name);
  }
  for (let i = 0; i < settings.search.length; i++) {
    const domain = without(settings.search[i]!, ".");
    result.push(domain === "" ? name : `${name}.${domain}`);
  }
  if (dots < settings.ndots) {
    result.push(name);
  }
  return result;
}

function twoBytes(value: number): string {
  return String.fromCharCode(Math.floor(value / 256), value % 256);
}

/** A question for one name and type with recursion desired; undefined when the name is none. */
export function questionOf(id: number, name: string, type: number): string | undefined {
  if (name.length === 0 || name.length > longestName) {
    return undefined;
  }
  let encoded = "";
  const labels = name.split(".");
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (label.length === 0 || label.length > longestLabel) {
      return undefined;
    }
    encoded = `${encoded}${String.fromCharCode(label.length)}${label}`;
  }
  const header = `${twoBytes(id)}${twoBytes(0x0100)}${twoBytes(1)}${twoBytes(0)}${twoBytes(0)}${twoBytes(0)}`;
  return `${header}${encoded}${String.fromCharCode(0)}${twoBytes(type)}${twoBytes(1)}`;
}

/** What a server said: addresses in canonical text, "none" (no such name, or none of this type), or that it failed. */
export type DnsAnswer =
  | { readonly kind: "addresses"; readonly addresses: readonly string[] }
  | { readonly kind: "none" | "failed" };

function number16(bytes: string, at: number): number {
  return at + 2 > bytes.length ? -1 : bytes.charCodeAt(at) * 256 + bytes.charCodeAt(at + 1);
}

/** Position after a name; -1 when the message ends within it. */
function afterName(bytes: string, start: number): number {
  let at = start;
  while (at < bytes.length) {
    const length = bytes.charCodeAt(at);
    if (length >= 192) {
      return at + 2;
    }
    if (length === 0) {
      return at + 1;
    }
    at = at + 1 + length;
  }
  return -1;
}

function addressText(bytes: string, at: number, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) {
    const byte = bytes.charCodeAt(at + i);
    if (length === 4) {
      text = i === 0 ? `${byte}` : `${text}.${byte}`;
    } else {
      text = `${text}${hexByte(byte)}`;
    }
  }
  return text;
}

function recordsOf(bytes: string, start: number, count: number, type: number): string[] {
  const addresses: string[] = [];
  const length = type === typeA ? 4 : 16;
  let at = start;
  for (let i = 0; i < count; i++) {
    const head = afterName(bytes, at);
    const size = head < 0 ? -1 : number16(bytes, head + 8);
    if (size < 0 || head + 10 + size > bytes.length) {
      // cut off: what came before is good
      return addresses;
    }
    if (number16(bytes, head) === type && number16(bytes, head + 2) === 1 && size === length) {
      addresses.push(addressText(bytes, head + 10, length));
    }
    at = head + 10 + size;
  }
  return addresses;
}

/** Reads the answer to `question`; undefined when it is the answer to something else, or none at all. */
export function answerTo(question: string, bytes: string): DnsAnswer | undefined {
  const asked = question.substring(12).toLowerCase();
  const echoed = bytes.substring(12, question.length).toLowerCase();
  const flags = number16(bytes, 2);
  if (bytes.substring(0, 2) !== question.substring(0, 2) || flags < 0x8000 || echoed !== asked) {
    return undefined;
  }
  const code = flags % 16;
  if (code !== 0) {
    return { kind: code === 3 ? "none" : "failed" };
  }
  const type = number16(question, question.length - 4);
  const addresses = recordsOf(bytes, question.length, number16(bytes, 6), type);
  return addresses.length === 0 ? { kind: "none" } : { kind: "addresses", addresses };
}
