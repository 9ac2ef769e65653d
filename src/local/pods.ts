/** All pods of the mesh: starts and stops them until they are the ones that should run. */
import { annotations } from "../api/annotations.ts";
import { podAddresses, type AddressPlan } from "./addresses.ts";
import type { Desired, DesiredPod } from "./desired.ts";
import { type LocalPodHandle, type PodContext, startPod } from "./pod.ts";
import { nextSteps, podKey } from "./steps.ts";

export interface Pods {
  all(): readonly LocalPodHandle[];
  /** Takes the next steps towards what is desired. */
  reconcile(desired: Desired): void;
  stopAll(): Promise<void>;
}

/** Pods that are being set up at once: more do not make it faster on few cores. */
const mostStarting = 6;
/** Milliseconds until pods that could not be prepared are looked at again. */
const retryPause = 1_000;

export interface PodsOptions {
  readonly plan: AddressPlan;
  readonly context: PodContext;
  /** Before the first pod of a service account starts, NATS must know it. */
  readonly prepare: (pods: readonly DesiredPod[]) => Promise<void>;
  readonly onError: (message: string) => void;
}

/** Whether a container's own connection may go to a Service address, which the node then translates. */
function isTranslated({ meshed, annotations: own }: DesiredPod): boolean {
  return !meshed || own[annotations.ignoreOutgoingPorts] !== undefined;
}

export function createPods(options: PodsOptions): Pods {
  const addresses = podAddresses(options.plan);
  const pods = new Map<string, LocalPodHandle>();
  const waiting = new Map<string, DesiredPod>();
  const stopping = new Map<string, Promise<void>>();
  let number = 0;
  let preparing = false;

  const startNow = (desired: DesiredPod): void => {
    const address = addresses.take(isTranslated(desired));
    number++;
    pods.set(podKey(desired), startPod(desired, number, address, options.context));
  };

  const starting = (): number => [...pods.values()].filter((pod) => !pod.started && !pod.terminating).length;

  const startWaiting = async (): Promise<void> => {
    if (preparing || waiting.size === 0) {
      return;
    }
    preparing = true;
    try {
      await options.prepare([...waiting.values()]);
      for (const [key, desired] of waiting) {
        if (starting() >= mostStarting) {
          break;
        }
        waiting.delete(key);
        if (!pods.has(key)) {
          startNow(desired);
        }
      }
    } catch (error) {
      options.onError(`preparing pods failed: ${(error as Error).message}`);
      setTimeout(options.context.onChange, retryPause);
    } finally {
      preparing = false;
    }
  };

  const stop = (key: string): void => {
    const pod = pods.get(key);
    if (pod === undefined || stopping.has(key)) {
      return;
    }
    const done = pod
      .stop()
      .catch((error: unknown) => options.onError(`stopping pod ${key} failed: ${(error as Error).message}`))
      .then(() => {
        pods.delete(key);
        stopping.delete(key);
        addresses.give(pod.address);
        options.context.onChange();
      });
    stopping.set(key, done);
  };

  return {
    all: () => [...pods.values()],
    reconcile(desired) {
      const present = [...pods.values()].map((pod) => ({
        desired: pod.desired,
        ready: pod.ready || pod.completed,
        terminating: pod.terminating,
      }));
      const steps = nextSteps(desired.groups, present);
      waiting.clear();
      steps.start.forEach((pod) => waiting.set(podKey(pod), pod));
      steps.stop.forEach(stop);
      void startWaiting();
    },
    async stopAll() {
      waiting.clear();
      [...pods.keys()].forEach(stop);
      await Promise.all(stopping.values());
    },
  };
}
