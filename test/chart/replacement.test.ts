/** Pods that never became ready, on a real API server with the controller of StatefulSets. No nodes, so no pod becomes ready. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type LiveApi, namespace, startLiveApi } from "./live.ts";
import { built, chart, helms } from "./programs.ts";

const pod = `/api/v1/namespaces/${namespace}/pods/spire-server-0`;

let cluster: LiveApi;
let controllers: ChildProcess;

before(async () => {
  cluster = await startLiveApi();
  const program = `${await built("kubernetes")}/kube-controller-manager`;
  const args = ["--controllers=statefulset-controller", "--leader-elect=false", "--secure-port=0"];
  controllers = spawn(program, [`--kubeconfig=${cluster.kubeconfig}`, ...args], { stdio: "ignore" });
});
after(async () => {
  controllers?.kill("SIGKILL");
  await cluster?.api.stop();
});

/** Waits until the pod of SPIRE's server has the image. */
async function hasImage(wanted: string): Promise<void> {
  const limit = Date.now() + 60_000;
  for (let image = ""; image !== wanted; await delay(200)) {
    assert.ok(Date.now() < limit, `the pod still has the image ${image}`);
    image = await cluster.api.admin.send({ method: "GET", path: pod }).then(
      (found) => (found as { spec: { containers: { image: string }[] } }).spec.containers[0]!.image,
      () => "",
    );
  }
}

test("a pod of SPIRE's server that cannot start is replaced by an upgrade and a rollback", async () => {
  cluster.must(
    helms["helm 3"],
    "install",
    "nginx-mesh",
    chart,
    "--create-namespace",
    "--set",
    "images.spireServer=wrong.example/server",
  );
  await hasImage("wrong.example/server");
  cluster.must(
    helms["helm 3"],
    "upgrade",
    "nginx-mesh",
    chart,
    "--set",
    "images.spireServer=right.example/server",
  );
  await hasImage("right.example/server");
  cluster.must(helms["helm 3"], "rollback", "nginx-mesh", "1");
  await hasImage("wrong.example/server");
});
