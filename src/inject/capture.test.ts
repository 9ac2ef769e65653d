import assert from "node:assert/strict";
import { test } from "node:test";
import { captureRules } from "./capture.ts";

const none = { ignoreIncomingPorts: [], ignoreOutgoingPorts: [], ipv6: false };

test("the rules of an ordinary pod", () => {
  assert.equal(
    captureRules(none),
    `*nat
:NGINX_MESH_OUTPUT - [0:0]
:NGINX_MESH_PREROUTING - [0:0]
-A OUTPUT -p tcp -j NGINX_MESH_OUTPUT
-A PREROUTING -p tcp -j NGINX_MESH_PREROUTING
-A NGINX_MESH_OUTPUT -m owner --uid-owner 2102 -j RETURN
-A NGINX_MESH_OUTPUT -o lo -j RETURN
-A NGINX_MESH_OUTPUT -p tcp -m multiport --dports 53 -j RETURN
-A NGINX_MESH_OUTPUT -p tcp -j REDIRECT --to-ports 8900
-A NGINX_MESH_PREROUTING -p tcp -m multiport --dports 8886,8887,8895,8896 -j RETURN
-A NGINX_MESH_PREROUTING -p tcp -j REDIRECT --to-ports 8901
COMMIT
`,
  );
});

function rulesOf(chain: string, text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(`-A ${chain} `));
}

test("ignored ports come before the redirection, each once, sorted", () => {
  const text = captureRules({ ...none, ignoreIncomingPorts: [9000, 80, 9000], ignoreOutgoingPorts: [5432] });
  assert.deepEqual(rulesOf("NGINX_MESH_PREROUTING", text), [
    "-A NGINX_MESH_PREROUTING -p tcp -m multiport --dports 80,8886,8887,8895,8896,9000 -j RETURN",
    "-A NGINX_MESH_PREROUTING -p tcp -j REDIRECT --to-ports 8901",
  ]);
  assert.ok(
    rulesOf("NGINX_MESH_OUTPUT", text).includes(
      "-A NGINX_MESH_OUTPUT -p tcp -m multiport --dports 53,5432 -j RETURN",
    ),
  );
});

test("many ignored ports take several rules of at most fifteen ports", () => {
  const many = Array.from({ length: 40 }, (_, i) => 10_000 + i);
  const rules = rulesOf("NGINX_MESH_OUTPUT", captureRules({ ...none, ignoreOutgoingPorts: many }));
  const listed = rules.flatMap((rule) => /--dports (\S+)/.exec(rule)?.[1]?.split(",") ?? []);
  assert.deepEqual(listed.map(Number), [53, ...many]);
  for (const rule of rules) {
    assert.ok((/--dports (\S+)/.exec(rule)?.[1]?.split(",") ?? []).length <= 15);
  }
});

test("sources of the node are exempt from the incoming side only", () => {
  const text = captureRules({ ...none, exemptSources: ["10.128.0.1"] });
  assert.equal(rulesOf("NGINX_MESH_PREROUTING", text)[0], "-A NGINX_MESH_PREROUTING -s 10.128.0.1 -j RETURN");
  assert.deepEqual(rulesOf("NGINX_MESH_OUTPUT", text), rulesOf("NGINX_MESH_OUTPUT", captureRules(none)));
});
