/** Services as the node sees them: DNS names and address translation. Built on the mesh's own model. */
import type { MeshModel } from "../model/mesh.ts";
import type { NamedService } from "./names.ts";
import type { ServiceTarget } from "./node-rules.ts";

export function namedServices(model: MeshModel): NamedService[] {
  return model.services.map(({ namespace, name, headless, addresses, pods }) => ({
    namespace,
    name,
    addresses: headless ? pods.map((pod) => pod.address) : addresses,
    pods: pods.map((pod) => ({ name: pod.name, address: pod.address })),
  }));
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
