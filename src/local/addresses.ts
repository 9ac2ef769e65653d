/** The address plan of one local mesh: one /16, half of it for pods, half for Services. */

export interface AddressPlan {
  /** Second byte: the mesh has 10.N.0.0/16. */
  readonly number: number;
  readonly range: string;
  readonly podRange: string;
  readonly serviceRange: string;
  readonly gateway: string;
  /** The link between host and mesh. */
  readonly uplinkHost: string;
  readonly uplinkNode: string;
}

export function addressPlan(number: number): AddressPlan {
  return {
    number,
    range: `10.${number}.0.0/16`,
    podRange: `10.${number}.0.0/17`,
    serviceRange: `10.${number}.128.0/17`,
    gateway: `10.${number}.0.1`,
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
export interface AddressPool {
  take(): string;
  give(address: string): void;
}

const firstPod = 256;
const podCount = 32_000 - firstPod;

export function podAddresses(plan: AddressPlan): AddressPool {
  const used = new Set<string>();
  let next = 0;
  return {
    take() {
      for (let tries = 0; tries < podCount; tries++) {
        const offset = firstPod + (next % podCount);
        next++;
        const address = `10.${plan.number}.${Math.floor(offset / 256)}.${offset % 256}`;
        if (!used.has(address) && offset % 256 !== 255) {
          used.add(address);
          return address;
        }
      }
      throw new Error(`all ${podCount} pod addresses of ${plan.podRange} are in use`);
    },
    give: (address) => void used.delete(address),
  };
}

/** A Service keeps its address as long as the mesh runs; one that is asked for is given as it is. */
export function serviceAddresses(plan: AddressPlan): (name: string, wanted: string | undefined) => string {
  const byName = new Map<string, string>();
  let next = 10;
  return (name, wanted) => {
    if (wanted !== undefined && wanted !== "") {
      return wanted;
    }
    let address = byName.get(name);
    if (address === undefined) {
      address = `10.${plan.number}.${128 + Math.floor(next / 256)}.${next % 256}`;
      byName.set(name, address);
      next++;
    }
    return address;
  };
}
