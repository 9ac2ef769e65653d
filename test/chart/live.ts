/** The chart on a real API server, by the Helm that a test chooses. No nodes, so no pod starts. */
import assert from "node:assert/strict";
import { type KubeApi, startKubeApi } from "../fixtures/kube-api-server.ts";
import { attempt, type Ended } from "./programs.ts";

/** Of the mesh. */
export const namespace = "nginx-mesh";
/** Path of the MeshConfig. */
export const settings = `/apis/nsm.nginx.com/v1alpha2/namespaces/${namespace}/meshconfigs/nginx-mesh-config`;

export interface LiveApi {
  readonly api: KubeApi;
  readonly kubeconfig: string;
  run(helm: string, ...args: readonly string[]): Ended;
  /** In the mesh's namespace. Throws with what helm says. */
  must(helm: string, ...args: readonly string[]): string;
}

export async function startLiveApi(): Promise<LiveApi> {
  const api = await startKubeApi();
  const kubeconfig = await api.kubeconfig();
  const run: LiveApi["run"] = (helm, ...args) => attempt(helm, [...args, "--kubeconfig", kubeconfig]);
  return {
    api,
    kubeconfig,
    run,
    must(helm, ...args) {
      const ended = run(helm, ...args, "--namespace", namespace);
      assert.equal(ended.status, 0, `helm ${args.join(" ")}: ${ended.stderr}`);
      return ended.stdout;
    },
  };
}
