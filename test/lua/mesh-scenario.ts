/** Scenarios of the whole logic of a sidecar: traffic, answers and messages. Compiles to Lua too, see scenarios.ts. */
import type { Mesh, World } from "../../src/sidecar/logic/mesh.ts";
import { describe, writeSorted } from "./mesh-description.ts";
import type { Logic, Result } from "./scenarios.ts";
import { randomFrom, viewOf, type PlainRequest } from "./small-scenarios.ts";

export type MeshStep =
  | {
      readonly op: "outgoing" | "incoming";
      readonly address: string;
      readonly port: number;
      readonly waiter: number;
    }
  | { readonly op: "peer"; readonly port: number; readonly identity: string }
  | { readonly op: "close"; readonly destination: number; readonly caller: number }
  | {
      readonly op: "choose";
      readonly destination: number;
      readonly again: boolean;
      readonly request?: PlainRequest;
      readonly now: number;
    }
  | { readonly op: "failed"; readonly cannotConnect: boolean; readonly now: number }
  | {
      readonly op: "finished";
      readonly destination: number;
      readonly status: number;
      readonly firstByte: number;
      readonly total: number;
      readonly now: number;
    }
  | { readonly op: "served"; readonly caller: number; readonly status: number; readonly total: number }
  /** The bucket changes; `heard`: those who follow the key are told. */
  | { readonly op: "set"; readonly key: string; readonly value: unknown; readonly heard: boolean }
  | { readonly op: "remove"; readonly key: string; readonly heard: boolean }
  | { readonly op: "complete"; readonly complete: boolean }
  | { readonly op: "pass"; readonly seconds: number }
  | { readonly op: "answer" | "askAgain" | "giveUp" | "dropUnused" | "forgetCallers" };

export interface MeshScenario {
  readonly kind: "mesh";
  readonly random: readonly number[];
  readonly settingsKey: string;
  readonly ownAddress: string;
  readonly steps: readonly MeshStep[];
}

interface State {
  readonly logic: Logic;
  readonly mesh: Mesh;
  readonly bucket: Record<string, unknown>;
  readonly result: Result;
  /** What the world was told since the last step. */
  events: string[];
  time: number;
  last: number;
}

function createWorld(state: () => State, random: () => number): World {
  let next = 1;
  const texts: Record<number, string> = {};
  const tell = (event: string): void => {
    state().events.push(event);
  };
  return {
    random,
    now: () => state().time,
    endpoint: (address, port, identity) => {
      if (address === "nonsense") {
        return undefined;
      }
      const id = next;
      next = next + 1;
      texts[id] = `${address} ${port} ${identity}`;
      tell(`new ${texts[id]}`);
      return id;
    },
    release: (endpoint) => tell(`release ${texts[endpoint]}`),
    resume: (waiter) => tell(`resume ${waiter}`),
    wake: () => tell("wake"),
    request: (pointer) => viewOf(pointer as PlainRequest),
    configure: (settings) => tell(`configure ${settings.mtlsMode}`),
    log: (level, message) => tell(`${level} ${message}`),
  };
}

function answerAll(state: State): void {
  const { logic, mesh, bucket } = state;
  while (mesh.keys.toAsk.length > 0) {
    // after a reconnect the order of the questions is that of a table's keys
    mesh.keys.toAsk.sort();
    const name = mesh.keys.toAsk.pop()!;
    const key = mesh.keys.byName[name];
    if (key !== undefined && bucket[name] !== undefined) {
      logic.settle.present(mesh, key, bucket[name], "answer");
    } else if (key !== undefined) {
      logic.settle.absent(mesh, key, false, "answer");
    }
  }
}

function changeBucket(state: State, step: MeshStep & { readonly op: "set" | "remove" }): void {
  const { logic, mesh, bucket } = state;
  const key = mesh.keys.byName[step.key];
  if (step.op === "set") {
    bucket[step.key] = step.value;
  } else {
    delete bucket[step.key];
  }
  if (key === undefined || !step.heard) {
    return;
  }
  if (step.op === "set") {
    logic.settle.present(mesh, key, step.value, "message");
  } else {
    logic.settle.absent(mesh, key, true, "message");
  }
}

/** As often as something goes: a backend goes only after what leads to it, which may come later in the same round. */
function dropAll(state: State): void {
  const all: string[] = [];
  let names = state.logic.housekeeping.dropUnused(state.mesh, state.time);
  while (names.length > 0) {
    for (let i = 0; i < names.length; i++) {
      all.push(names[i]!);
    }
    names = state.logic.housekeeping.dropUnused(state.mesh, state.time);
  }
  writeSorted(state.result, "dropped", all);
}

function choose(state: State, step: MeshStep & { readonly op: "choose" }): void {
  const { logic, mesh, result } = state;
  const previous = step.again ? state.last : -1;
  const chosen = logic.outgoing.choose(mesh, step.destination, step.request, previous, step.now);
  const endpoint = mesh.endpoints[chosen];
  result.values.push(endpoint === undefined ? chosen : endpoint.address);
  if (chosen < 0) {
    result.values.push(logic.outgoing.reason(mesh, step.destination, chosen));
  }
  state.last = chosen;
}

/** Steps of traffic; false when the step is none. */
function traffic(state: State, step: MeshStep): boolean {
  const { logic, mesh, result } = state;
  switch (step.op) {
    case "outgoing": {
      const decision = logic.outgoing.outgoing(mesh, step.address, step.port, step.waiter);
      result.values.push(decision.action, decision.destination);
      return true;
    }
    case "incoming": {
      const admission = logic.incoming.incoming(mesh, step.address, step.port, step.waiter);
      result.values.push(admission.action, admission.expected ?? "none");
      return true;
    }
    case "peer":
      result.values.push(logic.incoming.peer(mesh, mesh.ownAddress, step.port, step.identity));
      return true;
    case "close":
      logic.outgoing.outgoingClosed(mesh, step.destination);
      logic.incoming.incomingClosed(mesh, step.caller);
      return true;
    case "choose":
      choose(state, step);
      return true;
    case "failed":
      logic.outgoing.failed(mesh, state.last, step.cannotConnect, step.now);
      return true;
    case "finished": {
      const { destination, status, firstByte, total, now } = step;
      logic.outgoing.finished(
        mesh,
        destination,
        state.last,
        true,
        status,
        100,
        firstByte,
        total,
        10,
        20,
        now,
      );
      return true;
    }
    case "served":
      logic.incoming.served(mesh, step.caller, step.status, step.total, 1, 2);
      result.values.push(logic.incoming.admit(mesh, step.caller) >= 0 ? 1 : 0);
      return true;
    default:
      return false;
  }
}

function control(state: State, step: MeshStep): void {
  const { logic, mesh } = state;
  switch (step.op) {
    case "set":
    case "remove":
      changeBucket(state, step);
      break;
    case "complete":
      mesh.keys.complete = step.complete;
      break;
    case "pass":
      state.time = state.time + step.seconds;
      break;
    case "answer":
      answerAll(state);
      break;
    case "askAgain":
      logic.keys.askAgain(mesh.keys);
      break;
    case "giveUp":
      logic.settle.giveUp(mesh, state.time - 1, state.time - 5);
      break;
    case "dropUnused":
      dropAll(state);
      break;
    case "forgetCallers":
      logic.housekeeping.forgetCallers(mesh, 0);
      break;
    default:
      break;
  }
}

export function runMesh(logic: Logic, scenario: MeshScenario, result: Result): void {
  let state: State | undefined;
  const world = createWorld(() => state!, randomFrom(scenario.random));
  const mesh = logic.mesh.createMesh(world, scenario.settingsKey, scenario.ownAddress);
  state = { logic, mesh, bucket: {}, result, events: [], time: 1000, last: -1 };
  for (let i = 0; i < scenario.steps.length; i++) {
    const step = scenario.steps[i]!;
    result.values.push(`${i} ${step.op}`);
    if (!traffic(state, step)) {
      control(state, step);
    }
    writeSorted(result, "events", state.events);
    state.events = [];
    describe(mesh, result);
  }
}
