/** Port 8887: counters and histograms for Prometheus. */
import { exposition, type Counters } from "../logic/exposition.ts";
import { copyForSharing, mergeShared, type SharedEdge } from "../logic/publication.ts";
import type { Statistics } from "../logic/statistics.ts";
import { worker } from "./worker.ts";

const cjson = require("cjson.safe");
const native = require("mesh.native");

interface Shared {
  readonly droppedRequests: number;
  readonly edges: readonly SharedEdge[];
}

function sharedBy(id: number): Shared {
  const text = ngx.shared["mesh"]?.get(`statistics ${id}`);
  const [shared] = text === undefined ? [undefined] : cjson.decode(`${text}`);
  return shared === undefined ? { droppedRequests: 0, edges: [] } : (shared as Shared);
}

/** The counters of all workers: this one's own as they are now, the others' as they left them a moment ago. */
function countersOfAll(own: Statistics, active: number): Counters {
  const count = ngx.worker.count();
  let { droppedRequests } = own;
  if (count === 1) {
    return { active, droppedRequests, edges: own.edges };
  }
  const all: (readonly SharedEdge[])[] = [copyForSharing(own.edges)];
  for (let id = 0; id < count; id++) {
    if (id !== ngx.worker.id()) {
      const shared = sharedBy(id);
      droppedRequests = droppedRequests + shared.droppedRequests;
      all.push(shared.edges);
    }
  }
  return { active, droppedRequests, edges: mergeShared(all) };
}

/** Called by `content_by_lua`. */
export function metrics(): void {
  const state = worker();
  const [active] = native.connections();
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8";
  ngx.print(
    exposition(
      state === undefined
        ? { active, droppedRequests: 0, edges: [] }
        : countersOfAll(state.mesh.statistics, active),
    ),
  );
}
