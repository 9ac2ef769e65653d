/** EndpointSlices of the API server as those of a snapshot. */
import * as z from "zod";
import type { EndpointSlice } from "../snapshot.ts";
import { type Entry, unreadable } from "./entry.ts";
import { referenceOf } from "./objects.ts";
import { endpointSlices as resource } from "./resources.ts";

/** Label with the name of the Service (Kubernetes API, discovery/v1). */
const serviceNameLabel = "kubernetes.io/service-name";

const condition = z.boolean().nullish();
const slice = z.object({
  addressType: z.string(),
  metadata: z.object({
    namespace: z.string(),
    name: z.string(),
    labels: z.record(z.string(), z.string()).nullish(),
  }),
  ports: z
    .array(
      z.object({
        name: z.string().nullish(),
        port: z.int().nullish(),
        protocol: z.enum(["TCP", "UDP", "SCTP"]).nullish(),
      }),
    )
    .nullish(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.union([z.ipv4(), z.ipv6()])),
        conditions: z.object({ ready: condition, serving: condition, terminating: condition }).nullish(),
        targetRef: z
          .object({
            kind: z.string().optional(),
            namespace: z.string().optional(),
            name: z.string().optional(),
          })
          .nullish(),
      }),
    )
    .nullish(),
});
type Slice = z.infer<typeof slice>;
type Endpoint = NonNullable<Slice["endpoints"]>[number];

/** Of several addresses, which mean the same, the first (Kubernetes API, `Endpoint.addresses`). */
function endpointOf({ addresses, conditions, targetRef }: Endpoint, namespace: string) {
  const ready = conditions?.ready ?? true;
  return {
    address: addresses[0] ?? "",
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    pod: targetRef?.kind === "Pod" ? `${targetRef.namespace ?? namespace}/${targetRef.name ?? ""}` : "",
  };
}

function sliceOf({ metadata, ports, endpoints }: Slice, service: string): EndpointSlice {
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    service,
    // a port without a number stands for all, which no Service has
    ports: (ports ?? []).flatMap(({ name, port, protocol }) =>
      typeof port === "number" ? [{ name: name ?? "", port, protocol: protocol ?? "TCP" }] : [],
    ),
    endpoints: (endpoints ?? [])
      .map((endpoint) => endpointOf(endpoint, metadata.namespace))
      .filter(({ address }) => address !== ""),
  };
}

/** Undefined: it belongs to no Service, or has names for addresses. */
export function readEndpointSlice(raw: unknown): Entry<EndpointSlice> | undefined {
  const reference = { ...referenceOf(resource, raw), generation: 0 };
  if ((raw as { addressType?: unknown }).addressType === "FQDN") {
    return undefined;
  }
  const result = slice.safeParse(raw);
  if (!result.success) {
    return unreadable(reference, result.error, "its endpoints are not used");
  }
  const service = result.data.metadata.labels?.[serviceNameLabel];
  return service === undefined
    ? undefined
    : { value: sliceOf(result.data, service), problems: [], reference };
}
