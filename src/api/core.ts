/** Core kinds beside pods (Kubernetes API, core/v1). */
import * as z from "zod";
import { metadata, port, portName, portOrName, unused } from "./fields.ts";

export const namespace = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Namespace"),
  metadata: metadata.omit({ namespace: true }),
  ...unused("spec", "status"),
});

export const serviceAccount = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ServiceAccount"),
  metadata,
  ...unused("secrets", "imagePullSecrets", "automountServiceAccountToken"),
});

export const configMap = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ConfigMap"),
  metadata,
  data: z.record(z.string(), z.string()).optional(),
  ...unused("binaryData", "immutable"),
});

export const servicePort = z.strictObject({
  name: portName.optional(),
  port,
  targetPort: portOrName.optional(),
  protocol: z.enum(["TCP", "UDP", "SCTP"]).optional(),
  appProtocol: z.string().optional(),
  ...unused("nodePort"),
});

export const service = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Service"),
  metadata,
  spec: z.strictObject({
    type: z.enum(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]).optional(),
    clusterIP: z.union([z.literal(["", "None"]), z.ipv4(), z.ipv6()]).optional(),
    clusterIPs: z.array(z.string()).optional(),
    selector: z.record(z.string(), z.string()).optional(),
    ports: z.array(servicePort).optional(),
    publishNotReadyAddresses: z.boolean().optional(),
    externalName: z.string().optional(),
    ...unused(
      "allocateLoadBalancerNodePorts",
      "externalIPs",
      "externalTrafficPolicy",
      "healthCheckNodePort",
      "internalTrafficPolicy",
      "ipFamilies",
      "ipFamilyPolicy",
      "loadBalancerClass",
      "loadBalancerIP",
      "loadBalancerSourceRanges",
      "sessionAffinity",
      "sessionAffinityConfig",
      "trafficDistribution",
    ),
  }),
  ...unused("status"),
});

export type Namespace = z.infer<typeof namespace>;
export type ServiceAccount = z.infer<typeof serviceAccount>;
export type ConfigMap = z.infer<typeof configMap>;
export type Service = z.infer<typeof service>;
export type ServicePort = z.infer<typeof servicePort>;
