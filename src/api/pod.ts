/** Pods and their templates (Kubernetes API, core/v1). */
import * as z from "zod";
import {
  labelSelector,
  metadata,
  optionalName,
  port,
  portName,
  portOrName,
  templateMetadata,
  unused,
} from "./fields.ts";

const probeTiming = {
  initialDelaySeconds: z.int().min(0).optional(),
  periodSeconds: z.int().min(1).optional(),
  timeoutSeconds: z.int().min(1).optional(),
  successThreshold: z.int().min(1).optional(),
  failureThreshold: z.int().min(1).optional(),
  ...unused("terminationGracePeriodSeconds"),
};

export const probe = z.strictObject({
  httpGet: z
    .strictObject({
      path: z.string().optional(),
      port: portOrName,
      host: z.string().optional(),
      scheme: z.enum(["HTTP", "HTTPS"]).optional(),
      httpHeaders: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
    })
    .optional(),
  tcpSocket: z.strictObject({ port: portOrName, host: z.string().optional() }).optional(),
  exec: z.strictObject({ command: z.array(z.string()).optional() }).optional(),
  grpc: z.strictObject({ port, service: z.string().nullish() }).optional(),
  ...probeTiming,
});
export type Probe = z.infer<typeof probe>;

const environmentVariable = z.strictObject({
  name: z.string().min(1),
  value: z.string().optional(),
  valueFrom: z
    .strictObject({
      fieldRef: z.strictObject({ fieldPath: z.string(), apiVersion: z.string().optional() }).optional(),
      configMapKeyRef: z
        .strictObject({ name: z.string(), key: z.string(), optional: z.boolean().optional() })
        .optional(),
      ...unused("secretKeyRef", "resourceFieldRef", "fileKeyRef"),
    })
    .optional(),
});
export type EnvironmentVariable = z.infer<typeof environmentVariable>;

export const containerPort = z.strictObject({
  name: portName.optional(),
  containerPort: port,
  protocol: z.enum(["TCP", "UDP", "SCTP"]).optional(),
  ...unused("hostPort", "hostIP"),
});

export const container = z.strictObject({
  name: z.string().min(1).max(63),
  image: z.string().optional(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  workingDir: z.string().optional(),
  env: z.array(environmentVariable).optional(),
  ports: z.array(containerPort).optional(),
  readinessProbe: probe.optional(),
  livenessProbe: probe.optional(),
  startupProbe: probe.optional(),
  securityContext: z
    .looseObject({ runAsUser: z.int().min(0).optional(), runAsGroup: z.int().min(0).optional() })
    .optional(),
  restartPolicy: z.string().optional(),
  ...unused(
    "envFrom",
    "imagePullPolicy",
    "lifecycle",
    "resizePolicy",
    "resources",
    "restartPolicyRules",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
  ),
});
export type Container = z.infer<typeof container>;

export const podSpec = z.strictObject({
  containers: z.array(container).min(1),
  initContainers: z.array(container).optional(),
  serviceAccountName: optionalName.optional(),
  serviceAccount: optionalName.optional(),
  terminationGracePeriodSeconds: z.int().min(0).optional(),
  restartPolicy: z.enum(["Always", "OnFailure", "Never"]).optional(),
  hostNetwork: z.boolean().optional(),
  hostname: z.string().optional(),
  subdomain: z.string().optional(),
  securityContext: z
    .looseObject({ runAsUser: z.int().min(0).optional(), runAsGroup: z.int().min(0).optional() })
    .optional(),
  ...unused(
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "hostnameOverride",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
  ),
});
export type PodSpec = z.infer<typeof podSpec>;

export const podTemplate = z.strictObject({ metadata: templateMetadata.optional(), spec: podSpec });

export const pod = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  metadata,
  spec: podSpec,
  ...unused("status"),
});

const replicas = z.int().min(0).max(10_000).optional();

const workloadSpec = z.strictObject({
  replicas,
  selector: labelSelector.optional(),
  serviceName: z.string().optional(),
  template: podTemplate,
  ...unused(
    // Deployment, StatefulSet, DaemonSet, ReplicaSet
    "strategy",
    "updateStrategy",
    "minReadySeconds",
    "revisionHistoryLimit",
    "paused",
    "progressDeadlineSeconds",
    "podManagementPolicy",
    "volumeClaimTemplates",
    "persistentVolumeClaimRetentionPolicy",
    "ordinals",
    // Job
    "parallelism",
    "completions",
    "completionMode",
    "backoffLimit",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "suspend",
    "manualSelector",
    "podFailurePolicy",
    "podReplacementPolicy",
    "successPolicy",
    "managedBy",
  ),
});

function workload<const V extends string, const K extends string>(apiVersion: V, kind: K) {
  return z.strictObject({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(kind),
    metadata,
    spec: workloadSpec,
    ...unused("status"),
  });
}

export const deployment = workload("apps/v1", "Deployment");
export const statefulSet = workload("apps/v1", "StatefulSet");
export const daemonSet = workload("apps/v1", "DaemonSet");
export const replicaSet = workload("apps/v1", "ReplicaSet");
export const job = workload("batch/v1", "Job");

/** Older than selectors with expressions: its own are labels. */
export const replicationController = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ReplicationController"),
  metadata,
  spec: z.strictObject({
    replicas,
    selector: z.record(z.string(), z.string()).optional(),
    template: podTemplate,
    ...unused("minReadySeconds"),
  }),
  ...unused("status"),
});

export const cronJob = z.strictObject({
  apiVersion: z.literal("batch/v1"),
  kind: z.literal("CronJob"),
  metadata,
  spec: z.strictObject({
    jobTemplate: z.strictObject({ metadata: templateMetadata.optional(), spec: workloadSpec }),
    ...unused(
      "schedule",
      "timeZone",
      "concurrencyPolicy",
      "startingDeadlineSeconds",
      "successfulJobsHistoryLimit",
      "failedJobsHistoryLimit",
      "suspend",
    ),
  }),
  ...unused("status"),
});

export type Pod = z.infer<typeof pod>;
export type Workload =
  | z.infer<typeof deployment>
  | z.infer<typeof statefulSet>
  | z.infer<typeof daemonSet>
  | z.infer<typeof replicaSet>
  | z.infer<typeof job>;
