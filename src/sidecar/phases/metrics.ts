/** Port 8887: counters and histograms for Prometheus. */
import { exposition } from "../logic/exposition.ts";
import { worker } from "./worker.ts";

const native = require("mesh.native");

/** Called by `content_by_lua`. */
export function metrics(): void {
  const state = worker();
  const [active] = native.connections();
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8";
  ngx.print(exposition({ active, edges: state === undefined ? [] : state.mesh.statistics.edges }));
}
