/** Ports 8895 and 8896: lets through exactly the health probes that the pod has. */
import { addressInUrl } from "../logic/address.ts";
import { worker } from "./worker.ts";

function allowed(scheme: "http" | "https", port: number | undefined, path: string): boolean {
  const state = worker();
  const settings = state === undefined ? undefined : state.mesh.settings;
  const probes = settings === undefined ? undefined : settings.probes;
  for (let i = 0; probes !== undefined && i < probes.length; i++) {
    const probe = probes[i]!;
    if (probe.scheme === scheme && probe.port === port && probe.path === path) {
      return true;
    }
  }
  return false;
}

/** Called by `access_by_lua`. */
export function check(scheme: "http" | "https"): void {
  const state = worker();
  const path = `${ngx.var["mesh_probe_path"] ?? ""}${ngx.var["is_args"] ?? ""}${ngx.var["args"] ?? ""}`;
  if (state === undefined || !allowed(scheme, tonumber(ngx.var["mesh_probe_port"] ?? ""), path)) {
    ngx.exit(404);
    return;
  }
  ngx.var["mesh_probe_address"] = addressInUrl(state.mesh.ownAddress);
}
