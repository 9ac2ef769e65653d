/**
 * The CustomResourceDefinitions, made from the schemas that the mesh itself reads objects with. A definition never asks more
 * than NSM's did: an object that its API server took must be taken here too, so what only the mesh asks for (a weight that
 * fits into 32 bits, a name that is not empty) is left out of it and is found by the admission webhook and `validate`.
 */
import * as z from "zod";
import {
  circuitBreaker,
  httpRouteGroup,
  meshConfig,
  meshConfigClass,
  rateLimit,
  rateLimitV1alpha1,
  tcpRoute,
  trafficSplit,
  trafficTarget,
} from "./policies.ts";
import { type Relaxation, structural, type Structural } from "./structural.ts";

interface Version {
  readonly schema: z.ZodType;
  readonly storage: boolean;
}

interface Definition {
  readonly kind: string;
  readonly group: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly scope: "Namespaced" | "Cluster";
  /** For `kubectl explain`. */
  readonly description: string;
  /** Shape of the status subresource; undefined: there is none. */
  readonly status?: Structural;
  readonly versions: Readonly<Record<string, Version>>;
  /** By field, what NSM's definition does not ask for. */
  readonly relaxed: Readonly<Record<string, Relaxation>>;
}

/** A CustomResourceDefinition of apiextensions.k8s.io/v1, as it is written to a file. */
export interface CustomResourceDefinition {
  readonly apiVersion: "apiextensions.k8s.io/v1";
  readonly kind: "CustomResourceDefinition";
  readonly metadata: { readonly name: string };
  readonly spec: object;
}

/** Kubernetes API conventions, "Typical status properties". NSM wrote nothing into these statuses. */
const conditions: Structural = {
  type: "array",
  "x-kubernetes-list-type": "map",
  "x-kubernetes-list-map-keys": ["type"],
  items: {
    type: "object",
    required: ["type", "status"],
    properties: {
      type: { type: "string" },
      status: { type: "string", enum: ["True", "False", "Unknown"] },
      observedGeneration: { type: "integer", format: "int64" },
      lastTransitionTime: { type: "string", format: "date-time" },
      reason: { type: "string" },
      message: { type: "string" },
    },
  },
};
const conditioned: Structural = { type: "object", properties: { conditions } };
const notEmpty: Relaxation = { drop: ["minLength"] };

const definitions: readonly Definition[] = [
  {
    kind: "RateLimit",
    group: "specs.smi.nginx.com",
    plural: "ratelimits",
    shortNames: ["rl"],
    scope: "Namespaced",
    description: "Limits the requests that a destination takes from its sources.",
    versions: {
      v1alpha1: { schema: rateLimitV1alpha1, storage: false },
      v1alpha2: { schema: rateLimit, storage: true },
    },
    relaxed: { spec: { optional: true } },
  },
  {
    kind: "CircuitBreaker",
    group: "specs.smi.nginx.com",
    plural: "circuitbreakers",
    shortNames: ["cb"],
    scope: "Namespaced",
    description: "Keeps requests from a Service that fails, and sends them to a fallback where there is one.",
    versions: { v1alpha1: { schema: circuitBreaker, storage: true } },
    relaxed: {},
  },
  {
    kind: "TrafficTarget",
    group: "access.smi-spec.io",
    plural: "traffictargets",
    shortNames: ["tt"],
    scope: "Namespaced",
    description: "Lets the ServiceAccounts of the sources reach the pods of a ServiceAccount.",
    status: conditioned,
    versions: { v1alpha2: { schema: trafficTarget, storage: true } },
    relaxed: {
      "spec.destination.kind": notEmpty,
      "spec.destination.name": notEmpty,
      "spec.rules[].kind": notEmpty,
      "spec.rules[].name": notEmpty,
      "spec.sources[].kind": notEmpty,
      "spec.sources[].name": notEmpty,
    },
  },
  {
    kind: "TrafficSplit",
    group: "split.smi-spec.io",
    plural: "trafficsplits",
    shortNames: ["ts"],
    scope: "Namespaced",
    description: "Divides the requests to a Service among others, by weight.",
    status: conditioned,
    versions: { v1alpha3: { schema: trafficSplit, storage: true } },
    relaxed: {
      spec: { optional: true },
      "spec.service": notEmpty,
      "spec.backends[].service": notEmpty,
      "spec.backends[].weight": { drop: ["maximum"] },
      "spec.matches[].kind": { drop: ["enum"] },
      "spec.matches[].name": notEmpty,
    },
  },
  {
    kind: "HTTPRouteGroup",
    group: "specs.smi-spec.io",
    plural: "httproutegroups",
    shortNames: ["htr"],
    scope: "Namespaced",
    description: "Names requests by path, method and headers, for other objects to refer to.",
    status: conditioned,
    versions: { v1alpha3: { schema: httpRouteGroup, storage: true } },
    relaxed: {},
  },
  {
    kind: "TCPRoute",
    group: "specs.smi-spec.io",
    plural: "tcproutes",
    shortNames: ["tr"],
    scope: "Namespaced",
    description: "Names TCP connections, for TrafficTargets to refer to.",
    status: conditioned,
    versions: { v1alpha3: { schema: tcpRoute, storage: true } },
    relaxed: {},
  },
  {
    kind: "MeshConfig",
    group: "nsm.nginx.com",
    plural: "meshconfigs",
    shortNames: [],
    scope: "Namespaced",
    description: "The settings of a mesh that can change while it runs.",
    status: {
      type: "object",
      required: ["transparent"],
      properties: { transparent: { type: "boolean" }, conditions },
    },
    versions: { v1alpha2: { schema: meshConfig, storage: true } },
    relaxed: {
      "spec.telemetry.exporters.otlp.port": { format: "int32" },
      "spec.telemetry.samplerRatio": { format: "float" },
    },
  },
  {
    kind: "MeshConfigClass",
    group: "nsm.nginx.com",
    plural: "meshconfigclasses",
    shortNames: [],
    scope: "Cluster",
    description: "Names the control plane that a MeshConfig is for.",
    status: conditioned,
    versions: { v1alpha2: { schema: meshConfigClass, storage: true } },
    relaxed: {},
  },
];

function version(definition: Definition, name: string, { schema, storage }: Version): object {
  const { description, status, relaxed } = definition;
  const { spec, required } = structural(schema, relaxed);
  return {
    name,
    served: true,
    storage,
    schema: {
      openAPIV3Schema: {
        description,
        type: "object",
        ...(required ? { required: ["spec"] } : {}),
        properties: {
          apiVersion: { type: "string" },
          kind: { type: "string" },
          metadata: { type: "object" },
          spec,
          ...(status === undefined ? {} : { status }),
        },
      },
    },
    ...(status === undefined ? {} : { subresources: { status: {} } }),
  };
}

/** The mesh's own definitions, in the order of the reference. */
export function customResourceDefinitions(): readonly CustomResourceDefinition[] {
  return definitions.map((definition) => {
    const { kind, group, plural, shortNames, scope, versions } = definition;
    return {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        scope,
        names: {
          kind,
          listKind: `${kind}List`,
          plural,
          singular: kind.toLowerCase(),
          ...(shortNames.length === 0 ? {} : { shortNames }),
        },
        conversion: { strategy: "None" },
        versions: Object.entries(versions).map(([name, each]) => version(definition, name, each)),
      },
    };
  });
}
