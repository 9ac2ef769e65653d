/** Services as the node sees them: DNS names and address translation. Built on the mesh's own model. */
import type { MeshModel, Service } from "../model/mesh.ts";
import type { NamedService } from "./names.ts";
import type { ServiceTarget } from "./node-rules.ts";

export function namedServices(model: MeshModel): NamedService[] {
  return model.services.map((service) => {
    const pods = podsOf(service);
    return {
      namespace: service.namespace,
      name: service.name,
      addresses: service.headless ? pods.map((pod) => pod.address) : service.addresses,
      pods: service.headless ? pods : [],
    };
  });
}

function podsOf(service: Service): { name: string; address: string }[] {
  const byName = new Map(
    service.ports.flatMap((port) =>
      port.endpoints.map(({ pod }): [string, string] => [pod.name, pod.address]),
    ),
  );
  return [...byName].map(([name, address]) => ({ name, address }));
}

export function serviceTargets(model: MeshModel): ServiceTarget[] {
  return model.services.flatMap((service) =>
    service.addresses.flatMap((address) =>
      service.ports.map((port) => ({
        address,
        port: port.port,
        protocol: port.protocol === "udp" ? ("udp" as const) : ("tcp" as const),
        endpoints: port.endpoints.map((endpoint) => ({ address: endpoint.pod.address, port: endpoint.port })),
      })),
    ),
  );
}
