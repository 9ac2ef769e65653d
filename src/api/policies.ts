/** SMI's kinds, and the mesh's own: the fields, patterns and values of NSM's CRDs. */
import * as z from "zod";
import { metadata, unused } from "./fields.ts";

const text = z.string().min(1);
/** Integers of CRDs have 32 bits; sums of these are exact. */
const weight = z.int().min(0).max(2_147_483_647);

export const trafficSplit = z.strictObject({
  apiVersion: z.literal("split.smi-spec.io/v1alpha3"),
  kind: z.literal("TrafficSplit"),
  metadata,
  spec: z.strictObject({
    service: text,
    backends: z.array(z.strictObject({ service: text, weight })),
    matches: z
      .array(
        z.strictObject({ apiGroup: z.string().optional(), kind: z.literal("HTTPRouteGroup"), name: text }),
      )
      .optional(),
  }),
  ...unused("status"),
});

export const httpRouteGroup = z.strictObject({
  apiVersion: z.literal("specs.smi-spec.io/v1alpha3"),
  kind: z.literal("HTTPRouteGroup"),
  metadata,
  spec: z.strictObject({
    matches: z
      .array(
        z.strictObject({
          name: z.string().optional(),
          pathRegex: z.string().optional(),
          methods: z.array(z.string()).optional(),
          headers: z.record(z.string(), z.string()).optional(),
        }),
      )
      .optional(),
  }),
  ...unused("status"),
});

export const tcpRoute = z.strictObject({
  apiVersion: z.literal("specs.smi-spec.io/v1alpha3"),
  kind: z.literal("TCPRoute"),
  metadata,
  spec: z.looseObject({}).optional(),
  ...unused("status"),
});

const accessReference = z.strictObject({
  kind: text,
  name: text,
  namespace: z.string().optional(),
  port: z.int().optional(),
});

export const trafficTarget = z.strictObject({
  apiVersion: z.literal("access.smi-spec.io/v1alpha2"),
  kind: z.literal("TrafficTarget"),
  metadata,
  spec: z.strictObject({
    destination: accessReference,
    rules: z
      .array(z.strictObject({ kind: text, name: text, matches: z.array(z.string()).optional() }))
      .optional(),
    sources: z.array(accessReference).optional(),
  }),
  ...unused("status"),
});

const rateReference = z.strictObject({ kind: text, name: text, namespace: z.string().optional() });
const rateSpec = {
  destination: rateReference,
  sources: z.array(rateReference).optional(),
  name: text,
  rate: z.string().regex(/^[0-9]+r\/[s,m]$/, 'must be a number followed by "r/s" or "r/m"'),
  burst: z.int().min(0).optional(),
  delay: z.union([z.int(), z.string()]).optional(),
};

export const rateLimitV1alpha1 = z.strictObject({
  apiVersion: z.literal("specs.smi.nginx.com/v1alpha1"),
  kind: z.literal("RateLimit"),
  metadata,
  spec: z.strictObject(rateSpec),
});

export const rateLimit = z.strictObject({
  apiVersion: z.literal("specs.smi.nginx.com/v1alpha2"),
  kind: z.literal("RateLimit"),
  metadata,
  spec: z.strictObject({
    ...rateSpec,
    rules: z
      .array(
        z.strictObject({
          kind: z.literal("HTTPRouteGroup"),
          name: text,
          matches: z.array(z.string()).optional(),
        }),
      )
      .optional(),
  }),
});

export const circuitBreaker = z.strictObject({
  apiVersion: z.literal("specs.smi.nginx.com/v1alpha1"),
  kind: z.literal("CircuitBreaker"),
  metadata,
  spec: z.strictObject({
    destination: z.strictObject({ kind: z.literal("Service"), name: text, namespace: z.string().optional() }),
    errors: z.int().min(0),
    timeoutSeconds: z.int().min(0),
    fallback: z
      .strictObject({ service: z.string().optional(), port: z.int().min(0).max(65535).optional() })
      .optional(),
  }),
});

export const lbMethods = [
  "least_conn",
  "least_time",
  "least_time last_byte",
  "least_time last_byte inflight",
  "random",
  "random two",
  "random two least_conn",
  "random two least_time",
  "random two least_time=last_byte",
  "round_robin",
] as const;
export const mtlsModes = ["off", "permissive", "strict"] as const;
export const logLevels = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"] as const;
export const bodySize = z
  .string()
  .regex(/^\d+[kKmMgG]?$/, 'must be a number of bytes, or one with "k", "m" or "g"');

export const meshConfig = z.strictObject({
  apiVersion: z.literal("nsm.nginx.com/v1alpha2"),
  kind: z.literal("MeshConfig"),
  metadata,
  spec: z.strictObject({
    meshConfigClassName: text,
    accessControlMode: z.enum(["allow", "deny"]).optional(),
    clientMaxBodySize: bodySize.optional(),
    mtls: z
      .strictObject({
        caKeyType: z.enum(["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"]).optional(),
        caTTL: z
          .string()
          .regex(
            /^1[0-9]{2,5}(h)|2[4-9](h)|2[0-9][0-9]{1,5}(h)|[3-9][0-9]{1,5}(h)$/,
            "must be hours, 24h at least",
          )
          .optional(),
        mode: z.enum(mtlsModes).optional(),
        svidTTL: z
          .string()
          .regex(/^[1-9][0-9]{0,5}(h|m)$/, "must be hours or minutes, as 1h or 30m")
          .optional(),
      })
      .optional(),
    nginxErrorLogLevel: z.enum(logLevels).optional(),
    nginxLBMethod: z.enum(lbMethods).optional(),
    nginxLogFormat: z.enum(["default", "json"]).optional(),
    prometheusAddress: z.string().optional(),
    telemetry: z
      .strictObject({
        exporters: z
          .strictObject({
            otlp: z.strictObject({ host: text.optional(), port: z.int().min(0).max(65535).optional() }),
          })
          .optional(),
        samplerRatio: z.number().min(0).max(1).optional(),
      })
      .optional(),
  }),
  ...unused("status"),
});

export const meshConfigClass = z.strictObject({
  apiVersion: z.literal("nsm.nginx.com/v1alpha2"),
  kind: z.literal("MeshConfigClass"),
  metadata: metadata.omit({ namespace: true }),
  spec: z.strictObject({ controllerName: text }),
  ...unused("status"),
});

export type TrafficSplit = z.infer<typeof trafficSplit>;
export type HttpRouteGroup = z.infer<typeof httpRouteGroup>;
export type TrafficTarget = z.infer<typeof trafficTarget>;
export type RateLimit = z.infer<typeof rateLimit> | z.infer<typeof rateLimitV1alpha1>;
export type CircuitBreaker = z.infer<typeof circuitBreaker>;
export type MeshConfig = z.infer<typeof meshConfig>;
