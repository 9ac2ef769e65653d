/** Where the webhook's certificate is in a cluster: a Secret, and whatever the API server verifies it with. */
import * as z from "zod";
import type { CertificateStore } from "../../admission/certificate-keeper.ts";
import { type ApiServer, isStatus } from "../../cluster/kubernetes/api-server.ts";
import { Secret } from "../../identity/secret.ts";

export const certificateSecret = "nginx-mesh-webhook-certificate";

/** What must know the authority: it is looked for in each, and only one that is not there is passed over if it may be. */
interface Target {
  readonly title: string;
  readonly path: string;
  readonly needed: boolean;
  /** Pods are not made while it does not know. */
  readonly vital?: true;
}

const webhooks = "/apis/admissionregistration.k8s.io/v1";

function targetsOf(namespace: string): readonly Target[] {
  return [
    {
      title: `MutatingWebhookConfiguration ${namespace}-injection`,
      path: `${webhooks}/mutatingwebhookconfigurations/${namespace}-injection`,
      needed: true,
      vital: true,
    },
    {
      title: `ValidatingWebhookConfiguration ${namespace}-validation`,
      path: `${webhooks}/validatingwebhookconfigurations/${namespace}-validation`,
      needed: true,
    },
    {
      title: "APIService v1alpha1.metrics.smi-spec.io",
      path: "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.metrics.smi-spec.io",
      needed: false,
    },
  ];
}

const secret = z.object({
  metadata: z.object({ resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).optional(),
});
const caBundle = z.string().nullish();
const trusting = z.object({
  metadata: z.object({ resourceVersion: z.string() }),
  webhooks: z.array(z.object({ clientConfig: z.object({ caBundle }) })).optional(),
  spec: z.object({ service: z.object({ namespace: z.string().optional() }).nullish(), caBundle }).optional(),
});

interface Change {
  readonly op: "test" | "add";
  readonly path: string;
  readonly value: string;
}

/** JSON Patch (RFC 6902) that gives the object the bundle; none when it has it, or does not lead to this mesh. */
function changesOf(raw: unknown, bundle: string, namespace: string): readonly Change[] {
  const { metadata, webhooks: hooks = [], spec } = trusting.parse(raw);
  const places = [
    ...hooks.map(({ clientConfig }, index) => ({
      path: `/webhooks/${index}/clientConfig/caBundle`,
      present: clientConfig.caBundle,
    })),
    ...(spec?.service?.namespace === namespace ? [{ path: "/spec/caBundle", present: spec.caBundle }] : []),
  ];
  const changes = places
    .filter(({ present }) => present !== bundle)
    .map(({ path }): Change => ({ op: "add", path, value: bundle }));
  return changes.length === 0
    ? []
    : [{ op: "test", path: "/metadata/resourceVersion", value: metadata.resourceVersion }, ...changes];
}

function decode(data: Readonly<Record<string, string>>, name: string): string {
  return Buffer.from(data[name] ?? "", "base64").toString("utf8");
}

function encode(text: string | Uint8Array): string {
  return Buffer.from(text).toString("base64");
}

async function publishTo(api: ApiServer, target: Target, bundle: string, namespace: string): Promise<void> {
  try {
    const present = await api.send({ method: "GET", path: target.path });
    const body = changesOf(present, bundle, namespace);
    if (body.length > 0) {
      const contentType = "application/json-patch+json";
      await api.send({ method: "PATCH", path: target.path, body, contentType });
    }
  } catch (error) {
    if (isStatus(error, 404) && !target.needed) {
      return;
    }
    const hint = isStatus(error, 404)
      ? "it is not there: install the mesh's chart again"
      : isStatus(error, 403)
        ? `let the controller's ServiceAccount "get" and "patch" it (${error.message})`
        : (error as Error).message;
    throw new Error(`cannot make the webhook's authority known to ${target.title}: ${hint}`, {
      cause: error,
    });
  }
}

/** `namespace` is that of the control plane. */
export function certificateStore(api: ApiServer, namespace: string): CertificateStore {
  const folder = `/api/v1/namespaces/${namespace}/secrets`;
  return {
    async read() {
      try {
        const raw = await api.send({ method: "GET", path: `${folder}/${certificateSecret}` });
        const { metadata, data = {} } = secret.parse(raw);
        const stored = {
          certificate: decode(data, "tls.crt"),
          key: new Secret(Buffer.from(decode(data, "tls.key"))),
          authorities: decode(data, "ca.crt"),
        };
        return { stored, version: metadata.resourceVersion };
      } catch (error) {
        if (isStatus(error, 404)) {
          return undefined;
        }
        throw error;
      }
    },
    async write(stored, version) {
      const body = {
        apiVersion: "v1",
        kind: "Secret",
        metadata: {
          name: certificateSecret,
          namespace,
          ...(version === undefined ? {} : { resourceVersion: version }),
        },
        type: "kubernetes.io/tls",
        data: {
          "tls.crt": encode(stored.certificate),
          "tls.key": encode(stored.key.reveal()),
          "ca.crt": encode(stored.authorities),
        },
      };
      try {
        await (version === undefined
          ? api.send({ method: "POST", path: folder, body })
          : api.send({ method: "PUT", path: `${folder}/${certificateSecret}`, body }));
        return true;
      } catch (error) {
        if (isStatus(error, 404, 409)) {
          return false;
        }
        throw error;
      }
    },
    async publish(authorities) {
      const bundle = encode(authorities);
      const targets = targetsOf(namespace);
      const results = await Promise.allSettled(
        targets.map((target) => publishTo(api, target, bundle, namespace)),
      );
      const reasons = results.flatMap((result) =>
        result.status === "rejected" ? [(result.reason as Error).message] : [],
      );
      if (results.some(({ status }, at) => status === "rejected" && targets[at]!.vital === true)) {
        throw new Error(reasons.join("; "));
      }
      return reasons;
    },
  };
}
