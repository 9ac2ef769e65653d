import assert from "node:assert/strict";
import { test } from "node:test";
import { externalKind } from "../wire/messages.ts";
import { joinFlows } from "./flows.ts";
import { emptyHistogram } from "./histogram.ts";

test("what goes to an address that is no pod's goes to its Service", () => {
  const [flow] = joinFlows([
    {
      sender: {
        namespace: "shop",
        pod: "web-1",
        serviceAccount: "web",
        workload: { namespace: "shop", kind: "deployment", name: "web" },
      },
      edge: {
        direction: "to",
        protocol: "tcp",
        workload: { namespace: "shop", kind: externalKind, name: "database" },
        service: "shop/database",
        pod: "",
        mtls: false,
        total: 9,
        failures: 0,
        latency: emptyHistogram(),
      },
      total: 1,
      failures: 0,
      latency: emptyHistogram(),
    },
  ]);
  assert.deepEqual(flow?.destination, { namespace: "shop", service: "shop/database" });
});
