/** The three mTLS modes at both ends, set on the pods, and pods without a sidecar: the same table as in local mode. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { type End, type Outcome, outcomes } from "../fixtures/mtls-modes.ts";
import { app, type Answer } from "./app.ts";
import { described, inNamespace, type Namespace } from "./fixture.ts";
import { callerOf, ensureMesh, get, identity, injected, modeAnnotation } from "./mesh.ts";

const ends: readonly End[] = ["off", "permissive", "strict", "bare"];

function outcomeOf(answer: Answer, caller: string): Outcome {
  if (answer.status === 200) {
    const known = callerOf(answer);
    assert.ok(known === undefined || known === caller, `${known} is not ${caller}`);
    return known === undefined ? "plain" : "mtls";
  }
  const [reason] = answer.headers["Nginx-Mesh-Error"] ?? [];
  if (answer.status === 403 && reason === "plain-text-refused") {
    return "refused by server";
  }
  assert.deepEqual([answer.status, reason], [503, "no-endpoint"], answer.body);
  return "refused by client";
}

/** Whether a line comes back from the echo on port 7000. */
async function isEchoed(namespace: Namespace, from: End, to: End): Promise<boolean> {
  const script = `{ echo hello; sleep 1; } | nc -w 3 server-${to} 7000`;
  const ended = await namespace.exec(`app=client-${from}`, "app", "sh", "-c", script);
  return ended.stdout.includes("hello");
}

before(() => ensureMesh());

test("modes", async (context) => {
  await inNamespace(injected, async (namespace) => {
    for (const end of ends) {
      const own =
        end === "bare"
          ? { labels: { "injector.nsm.nginx.com/auto-inject": "disabled" } }
          : { annotations: modeAnnotation(end) };
      // a client and a server for each: a pod that calls itself has no need of either sidecar
      await namespace.apply(
        ...app({ name: `client-${end}`, ...own }),
        ...app({ name: `server-${end}`, ...own }),
      );
    }
    await namespace.ready(...ends.flatMap((end) => [`deployment/client-${end}`, `deployment/server-${end}`]));
    for (const [from, to, expected] of outcomes) {
      await context.test(`${from} to ${to}: ${expected}`, () =>
        described(namespace.name, async () => {
          const answer = await get(namespace, `app=client-${from}`, `http://server-${to}/`);
          assert.equal(outcomeOf(answer, identity(namespace.name, `client-${from}`)), expected);
          assert.equal(await isEchoed(namespace, from, to), !expected.startsWith("refused"), "TCP");
        }),
      );
    }
  });
});
