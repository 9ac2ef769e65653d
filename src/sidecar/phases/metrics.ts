/** Port 8887: counters and histograms for Prometheus. */
import { exposition } from "../logic/exposition.ts";
import { copyForSharing, mergeShared, type SharedEdge } from "../logic/publication.ts";
import type { Edge } from "../logic/statistics.ts";
import { worker } from "./worker.ts";

const cjson = require("cjson.safe");
const native = require("mesh.native");

/** The counters of all workers: this one's own as they are now, the others' as they left them a moment ago. */
function edgesOfAll(own: readonly Edge[]): readonly Edge[] {
  const count = ngx.worker.count();
  const dictionary = ngx.shared["mesh"];
  if (count === 1 || dictionary === undefined) {
    return own;
  }
  const all: (readonly SharedEdge[])[] = [];
  for (let id = 0; id < count; id++) {
    if (id === ngx.worker.id()) {
      all.push(copyForSharing(own));
    } else {
      const [shared] = cjson.decode(`${dictionary.get(`edges ${id}`) ?? "[]"}`);
      all.push(shared as readonly SharedEdge[]);
    }
  }
  return mergeShared(all);
}

/** Called by `content_by_lua`. */
export function metrics(): void {
  const state = worker();
  const [active] = native.connections();
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8";
  ngx.print(
    exposition({ active, edges: state === undefined ? [] : edgesOfAll(state.mesh.statistics.edges) }),
  );
}
