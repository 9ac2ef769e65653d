/** Deployments and Services as the controller needs them to know of pods that a bare mesh runs. */

export interface BarePort {
  /** Its first part says the protocol. */
  readonly name: string;
  readonly port: number;
  readonly target: number;
}

export function deployment(
  name: string,
  template: { readonly annotations?: Readonly<Record<string, string>> } = {},
): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations: template.annotations ?? {} },
        spec: { serviceAccountName: name, containers: [{ name, image: "x" }] },
      },
    },
  };
}

export function service(name: string, app: string, ports: readonly BarePort[]): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: {
      selector: { app },
      ports: ports.map((each) => ({ name: each.name, port: each.port, targetPort: each.target })),
    },
  };
}
