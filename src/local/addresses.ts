/** The address plan of one local mesh: one /16, half of it for pods, half for Services. */
import { isIPv4 } from "node:net";

export interface AddressPlan {
  /** Second byte: the mesh has 10.N.0.0/16. */
  readonly number: number;
  readonly range: string;
  readonly podRange: string;
  /** Pods of which nothing but their sidecar opens connections: these reach each other without the node. */
  readonly capturedRange: string;
  readonly serviceRange: string;
  readonly gateway: string;
  /** The node's as well: what a captured pod's connection to a Service comes from when the node translates it. */
  readonly translator: string;
  /** The link between host and mesh. */
  readonly uplinkHost: string;
  readonly uplinkNode: string;
}

export function addressPlan(number: number): AddressPlan {
  return {
    number,
    range: `10.${number}.0.0/16`,
    podRange: `10.${number}.0.0/17`,
    capturedRange: `10.${number}.0.0/18`,
    serviceRange: `10.${number}.128.0/17`,
    gateway: `10.${number}.0.1`,
    translator: `10.${number}.0.2`,
    uplinkHost: `10.${number}.127.253`,
    uplinkNode: `10.${number}.127.254`,
  };
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function overlaps(range: string, number: number): boolean {
  const [address = "", bits = "32"] = range.split("/");
  const size = 2 ** (32 - Number(bits));
  const start = Math.floor(toNumber(address) / size) * size;
  const own = (10 * 256 + number) * 65536;
  return start < own + 65536 && own < start + size;
}

/** The first number of 64 to 127 whose range overlaps none of the host's routes; undefined when none is free. */
export function freePlan(routes: readonly string[]): AddressPlan | undefined {
  const taken = routes.filter((route) => /^\d+\.\d+\.\d+\.\d+(\/\d+)?$/.test(route));
  for (let number = 64; number < 128; number++) {
    if (!taken.some((route) => overlaps(route, number))) {
      return addressPlan(number);
    }
  }
  return undefined;
}

/** Hands out addresses in turn, so that one that was just given back is not used again soon. */
interface AddressPool {
  take(): string;
  give(address: string): void;
}

/** Offsets into the pods' range; the node's own addresses are before and after. */
const blocks = { captured: { first: 256, end: 16_384 }, translated: { first: 16_384, end: 32_000 } };

function podPool(plan: AddressPlan, { first, end }: { first: number; end: number }): AddressPool {
  const count = end - first;
  const used = new Set<string>();
  let next = 0;
  return {
    take() {
      for (let tries = 0; tries < count; tries++) {
        const offset = first + (next % count);
        next++;
        const address = `10.${plan.number}.${Math.floor(offset / 256)}.${offset % 256}`;
        if (!used.has(address) && offset % 256 !== 255) {
          used.add(address);
          return address;
        }
      }
      throw new Error(`all ${count} addresses for such pods in ${plan.podRange} are in use`);
    },
    give: (address) => void used.delete(address),
  };
}

/** Addresses of pods; `translated`: of those that reach Services by the node's translation, not by a sidecar. */
export interface PodAddresses {
  take(translated: boolean): string;
  give(address: string): void;
}

export function podAddresses(plan: AddressPlan): PodAddresses {
  const captured = podPool(plan, blocks.captured);
  const translated = podPool(plan, blocks.translated);
  return {
    take: (isTranslated) => (isTranslated ? translated : captured).take(),
    give(address) {
      captured.give(address);
      translated.give(address);
    },
  };
}

export function isCaptured(plan: AddressPlan, address: string): boolean {
  return toNumber(address) - toNumber(`10.${plan.number}.0.0`) < blocks.captured.end;
}

/** Address of the Service `name`; one of IPv4 that it asks for is given as it is, and those that others ask for are not given. */
export type ServiceAddresses = (
  name: string,
  wanted: string | undefined,
  wantedByAll: ReadonlySet<string>,
) => string;

/** A Service keeps its address as long as the mesh runs. */
export function serviceAddresses(plan: AddressPlan): ServiceAddresses {
  const byName = new Map<string, string>();
  let next = 10;
  const take = (): string => {
    const address = `10.${plan.number}.${128 + Math.floor(next / 256)}.${next % 256}`;
    next++;
    return address;
  };
  return (name, wanted, wantedByAll) => {
    if (wanted !== undefined && isIPv4(wanted)) {
      return wanted;
    }
    let address = byName.get(name) ?? take();
    while (!byName.has(name) && wantedByAll.has(address)) {
      address = take();
    }
    byName.set(name, address);
    return address;
  };
}
