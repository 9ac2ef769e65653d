/** Objects of the application that tests deploy (testbed/go/app): HTTP 8080, HTTPS 8443, gRPC 50051, TCP 7000 and 7001. */
import { appImage, type Ended } from "./fixture.ts";

export interface AppOptions {
  readonly name: string;
  readonly replicas?: number;
  readonly version?: string;
  /** Fields of the pod template's metadata. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Fields of the container `app` that replace the usual ones. */
  readonly container?: object;
  /** Fields of the pod's spec. */
  readonly pod?: object;
  /** Fields of the Deployment's spec. */
  readonly deployment?: object;
}

const readiness = { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 };

/** A container with the application. */
export function appContainer(args: readonly string[], fields: object = {}): object {
  return {
    name: "app",
    image: appImage,
    args,
    resources: { requests: { cpu: "5m", memory: "16Mi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    ...fields,
  };
}

/** Deployment with its service account; the pods have the label app=NAME. */
export function appDeployment(options: AppOptions): readonly object[] {
  const { name } = options;
  const labels = { app: name, ...options.labels };
  const env = [{ name: "VERSION", value: options.version ?? "1" }];
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name },
      spec: {
        replicas: options.replicas ?? 1,
        selector: { matchLabels: { app: name } },
        ...options.deployment,
        template: {
          metadata: { labels, annotations: options.annotations ?? {} },
          spec: {
            serviceAccountName: name,
            containers: [appContainer(["serve"], { env, readinessProbe: readiness, ...options.container })],
            ...options.pod,
          },
        },
      },
    },
  ];
}

/** Service for the pods with the label app=NAME. */
export function appService(name: string, fields: object = {}): object {
  const port = (portName: string, number: number): object => ({
    name: portName,
    port: number,
    targetPort: number,
  });
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: {
      selector: { app: name },
      ports: [
        { name: "http", port: 80, targetPort: 8080 },
        port("https", 8443),
        port("grpc", 50051),
        port("tcp-echo", 7000),
        port("tcp-greeting", 7001),
      ],
      ...fields,
    },
  };
}

/** Deployment and Service. */
export function app(options: AppOptions): readonly object[] {
  return [...appDeployment(options), appService(options.name)];
}

/** What the application's `get` prints. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** What the application says of a request that it got. */
export interface Request {
  readonly pod: string;
  readonly version: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** The answer that `get` printed; undefined when there was none. */
export function answerOf(ended: Ended): Answer | undefined {
  return ended.status === 0 ? (JSON.parse(ended.stdout) as Answer) : undefined;
}
