/** Random sequences of traffic and changes for the whole logic of a sidecar. */
import {
  type EgressMessage,
  type LbMethod,
  type MtlsMode,
  type Protocol,
  type Route,
  wireVersion,
} from "../../src/wire/messages.ts";
import { addressKey, completeKey, egressKey, serviceKey } from "../../src/wire/keys.ts";
import {
  endpoint,
  identityOf,
  podAddress,
  serviceAddress,
  serviceMessage,
  servicePort,
  workloadMessage,
} from "../sidecar/messages.ts";
import { ownAddress, settingsKey } from "../sidecar/world.ts";
import { chance, many, pick, whole, type Random } from "./draw.ts";
import type { MeshScenario, MeshStep } from "./mesh-scenario.ts";
import type { PlainRequest } from "./small-scenarios.ts";

export const methods: readonly LbMethod[] = [
  "round_robin",
  "least_conn",
  "least_time",
  "least_time last_byte",
  "random",
  "random two",
  "random two least_time=last_byte",
];
const protocols: readonly Protocol[] = ["http", "grpc", "tcp", "udp"];
const modes: readonly MtlsMode[] = ["off", "permissive", "strict"];
const services = ["s0", "s1", "s2", "s3"];
const ports = [80, 81];
const pods = ["10.2.0.1", "10.2.0.2", "fd000000000000000000000000000003"];

function serviceAddressOf(name: string): string {
  return `10.96.0.${name.slice(1)}`;
}

export function request(random: Random): PlainRequest {
  return {
    method: pick(random, ["GET", "POST"]),
    path: pick(random, ["/", "/a", "/b"]),
    headers: chance(random, 0.5) ? { "x-user": pick(random, ["anna", ""]) } : {},
  };
}

function route(random: Random): Route {
  const backend = (weight: number) => ({
    namespace: "shop",
    name: pick(random, [...services, "s9"]),
    port: pick(random, ports),
    weight,
  });
  return {
    rules: many(random, 1, 2, () => ({
      ...(chance(random, 0.5) ? {} : { matches: [{ methods: [pick(random, ["GET", "POST", "*"])] }] }),
      backends: [backend(1), ...many(random, 0, 2, () => backend(whole(random, 0, 3)))],
    })),
  };
}

function service(random: Random, name: string): unknown {
  const used = chance(random, 0.3) ? ports : [pick(random, ports)];
  const list = used.map((port) => {
    const endpoints = many(random, 0, 3, (i) => {
      const address = chance(random, 0.03) ? "nonsense" : `10.1.${name.slice(1)}.${i}`;
      return endpoint(
        name,
        address,
        8000 + port + whole(random, 0, 1),
        chance(random, 0.3) ? "" : identityOf(name),
      );
    });
    const changes = {
      balancing: pick(random, methods),
      ...(chance(random, 0.5) ? { route: route(random) } : {}),
      ...(chance(random, 0.2) ? { egress: true as const } : {}),
    };
    return servicePort(port, pick(random, protocols), endpoints, changes);
  });
  return serviceMessage(name, list);
}

function pod(random: Random): unknown {
  const headless = { namespace: "shop", name: pick(random, services), port: 80 };
  const ports80 = { port: 80, protocol: pick(random, protocols.slice(0, 3)) };
  return podAddress(`p${whole(random, 0, 2)}`, {
    meshed: chance(random, 0.6),
    ...(chance(random, 0.2) ? { ingress: identityOf("nic") } : {}),
    ports: chance(random, 0.3) ? [] : [chance(random, 0.3) ? { ...ports80, headless } : ports80],
  });
}

function settings(random: Random): unknown {
  return workloadMessage({
    mtlsMode: pick(random, modes),
    balancing: pick(random, methods),
    ports: chance(random, 0.3) ? [] : [{ port: 80, protocol: pick(random, protocols.slice(0, 3)) }],
    ...(chance(random, 0.5) ? { egress: true as const } : {}),
  });
}

function egress(random: Random): EgressMessage {
  return {
    version: wireVersion,
    endpoints: many(random, 0, 2, (i) => endpoint("nic", `10.3.0.${i}`, 443)),
  };
}

function valueOf(random: Random, key: string): unknown {
  if (chance(random, 0.05)) {
    return pick<unknown>(random, ["text", { version: 2 }, []]);
  }
  if (key === settingsKey) {
    return settings(random);
  }
  if (key === egressKey) {
    return egress(random);
  }
  if (key.startsWith("service.")) {
    return service(random, key.slice(-2));
  }
  const of = services.find((name) => key === addressKey(serviceAddressOf(name)));
  return of === undefined ? pod(random) : serviceAddress(of);
}

const allKeys = [
  settingsKey,
  egressKey,
  ...services.flatMap((name) => [serviceKey("shop", name), addressKey(serviceAddressOf(name))]),
  ...pods.map(addressKey),
  addressKey(ownAddress),
];

function change(random: Random): MeshStep {
  const key = pick(random, allKeys);
  const heard = chance(random, 0.9);
  return chance(random, 0.1)
    ? { op: "remove", key, heard }
    : { op: "set", key, value: valueOf(random, key), heard };
}

function addressAndPort(random: Random): { readonly address: string; readonly port: number } {
  const others = [...pods, ownAddress, "10.96.9.9", "192.0.2.1"];
  return {
    address: chance(random, 0.6) ? serviceAddressOf(pick(random, services)) : pick(random, others),
    port: chance(random, 0.9) ? pick(random, [80, 80, 80, 81]) : pick(random, [8886, 8901]),
  };
}

/** A connection that waits as often as it takes: for its address, its Service, the backends of that. */
function visit(random: Random): MeshStep[] {
  const step: MeshStep = {
    op: chance(random, 0.8) ? "outgoing" : "incoming",
    waiter: whole(random, 0, 4),
    ...addressAndPort(random),
  };
  return [step, { op: "answer" }, step, { op: "answer" }, step, { op: "answer" }, step];
}

function traffic(random: Random, now: number): MeshStep {
  const { address, port } = addressAndPort(random);
  const destination = whole(random, 0, 6);
  const caller = whole(random, 0, 3);
  const identity = pick(random, ["", identityOf("s0"), identityOf("s1")]);
  const status = pick(random, [200, 200, 404, 499, 502, 0]);
  const total = whole(random, 0, 90_000);
  const choices: readonly (() => MeshStep)[] = [
    () => ({ op: "outgoing", address, port, waiter: whole(random, 0, 4) }),
    () => ({ op: "incoming", address, port, waiter: whole(random, 0, 4) }),
    () => ({ op: "peer", port, identity }),
    () => ({ op: "close", destination, caller }),
    () => ({
      op: "choose",
      destination,
      again: chance(random, 0.2),
      now,
      ...(chance(random, 0.7) ? { request: request(random) } : {}),
    }),
    () => ({ op: "choose", destination, again: false, now, request: request(random) }),
    () => ({ op: "failed", cannotConnect: chance(random, 0.5), now }),
    () => ({ op: "finished", destination, status, firstByte: chance(random, 0.2) ? -1 : total, total, now }),
    () => ({ op: "served", caller, status, total }),
  ];
  return pick(random, choices)();
}

function control(random: Random): MeshStep {
  const rare = ["askAgain", "giveUp", "dropUnused", "forgetCallers"] as const;
  const choices: readonly (() => MeshStep)[] = [
    () => ({ op: "answer" }),
    () => ({ op: "answer" }),
    () => ({ op: "answer" }),
    () => ({ op: pick(random, rare) }),
    () => ({ op: "complete", complete: chance(random, 0.7) }),
    () => ({ op: "pass", seconds: pick(random, [1, 2, 700]) }),
  ];
  return pick(random, choices)();
}

export function meshScenario(random: Random): MeshScenario {
  const steps: MeshStep[] = allKeys
    .filter(() => chance(random, 0.85))
    .map((key) => ({ op: "set", key, value: valueOf(random, key), heard: false }));
  steps.push({ op: "set", key: completeKey, value: "yes", heard: false }, { op: "complete", complete: true });
  let now = 0;
  for (let i = 0; i < 80; i++) {
    now += whole(random, 0, 400_000);
    const kind = random();
    if (kind < 0.15) {
      steps.push(...visit(random));
    } else if (kind < 0.35) {
      steps.push(change(random));
    } else {
      steps.push(kind < 0.5 ? control(random) : traffic(random, now));
    }
  }
  return { kind: "mesh", random: many(random, 17, 17, random), settingsKey, ownAddress, steps };
}
