/** A cluster as snapshots: follows everything that the mesh is made of. */
import type { MeshObject } from "../../api/objects.ts";
import type { Problem } from "../../api/problem.ts";
import { gather } from "../gather.ts";
import { createSnapshot, type Snapshot } from "../snapshot.ts";
import type { ApiServer } from "./api-server.ts";
import { readEndpointSlice } from "./endpoint-slices.ts";
import { type Entry, type ObjectReference, titleOf } from "./entry.ts";
import { readObject } from "./objects.ts";
import { readPod } from "./pods.ts";
import { type Reflector, startReflector } from "./reflector.ts";
import {
  endpointSlices,
  objectResources,
  pods,
  type Resource,
  resourceName,
  serviceCidrs,
} from "./resources.ts";
import { readServiceCidr } from "./service-cidrs.ts";
import { createStore, type Store } from "./store.ts";

export interface ClusterOptions {
  readonly api: ApiServer;
  /** Namespace of the control plane, and of the MeshConfig in force. */
  readonly namespace: string;
  /** Something that the mesh is made of has changed. Not called before everything was read once. */
  onChange(): void;
  /** What cannot be read at the moment, one sentence a resource; empty: all can. The last good state stays. */
  onErrors(errors: readonly string[]): void;
}

export interface Cluster {
  /** Undefined: not everything was read yet; an incomplete snapshot would empty the mesh. */
  snapshot(): Snapshot | undefined;
  /** Objects of the mesh's own kinds, also those that cannot be read, and others that have one of these problems. */
  references(problems: readonly Problem[]): readonly ObjectReference[];
  /** All objects as they are now, without those that cannot be read. */
  objects(): readonly MeshObject[];
  /** Resources that were not read yet. */
  missing(): readonly string[];
  close(): void;
}

function values<T>(store: Store<T>): T[] {
  return [...store.entries()].flatMap(({ value }) => (value === undefined ? [] : [value]));
}

function clusterAddresses(
  object: MeshObject,
): readonly { namespace: string; name: string; addresses: readonly string[] }[] {
  if (object.kind !== "Service") {
    return [];
  }
  const { clusterIP, clusterIPs } = object.spec;
  const addresses = clusterIPs ?? (clusterIP === undefined ? [] : [clusterIP]);
  const { name, namespace = "default" } = object.metadata;
  return [{ namespace, name, addresses: addresses.filter((each) => each !== "" && each !== "None") }];
}

export function watchCluster(options: ClusterOptions): Cluster {
  const { api, namespace } = options;
  const errors = new Map<string, string>();
  const reflectors: Reflector[] = [];
  const followed: { readonly name: string; readonly store: Store<unknown> }[] = [];
  const events = gather(() => {
    if (missing().length === 0) {
      options.onChange();
    }
  });
  const missing = (): readonly string[] =>
    followed.filter(({ store }) => !store.synced()).map(({ name }) => name);

  const follow = <T>(resource: Resource, project: (raw: unknown) => Entry<T> | undefined): Store<T> => {
    const name = resourceName(resource);
    const store = createStore<T>(events.soon);
    followed.push({ name, store: store as Store<unknown> });
    const onState = (error: string): void => {
      if (error !== (errors.get(name) ?? "")) {
        errors.set(name, error);
        // what is wrong with all of them alike is told once
        options.onErrors([...new Set(errors.values())].filter((each) => each !== ""));
      }
    };
    reflectors.push(startReflector({ api, resource, project, sink: store, onState }));
    return store;
  };

  const objects = objectResources(namespace).map((resource) => ({
    resource,
    store: follow(resource, (raw) => readObject(resource, raw)),
  }));
  const running = follow(pods, readPod);
  const slices = follow(endpointSlices, readEndpointSlice);
  const ranges = follow(serviceCidrs, readServiceCidr);

  return {
    snapshot() {
      if (missing().length > 0) {
        return undefined;
      }
      const all = objects.flatMap(({ store }) => values(store));
      const problems = followed.flatMap(({ store }) =>
        [...store.entries()].flatMap((entry) => entry.problems),
      );
      return createSnapshot({
        objects: all,
        pods: values(running),
        services: all.flatMap(clusterAddresses),
        serviceRanges: [...new Set(values(ranges).flat())].sort(),
        endpointSlices: values(slices),
        problems,
      });
    },
    objects: () => objects.flatMap(({ store }) => values(store)),
    references(problems) {
      const named = new Set(problems.map((problem) => problem.object));
      const referencesIn = (store: Store<unknown>, all: boolean): readonly ObjectReference[] =>
        [...store.entries()]
          .map((entry) => entry.reference)
          .filter((reference) => all || named.has(titleOf(reference)));
      return [
        ...objects.flatMap(({ resource, store }) => referencesIn(store as Store<unknown>, resource.optional)),
        ...referencesIn(running as Store<unknown>, false),
      ];
    },
    missing,
    close() {
      events.close();
      reflectors.forEach((reflector) => reflector.close());
    },
  };
}
