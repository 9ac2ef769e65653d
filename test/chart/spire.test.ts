/** The configuration of SPIRE as the chart renders it, read by SPIRE's own programs; fields of plugins by its source. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { cases } from "./cases.ts";
import { attempt, built, moduleFolder } from "./programs.ts";
import { find, objectsOf, render } from "./render.ts";

const spireServer = join(await built("spire-server"), "spire-server");
const spireAgent = join(await built("spire-agent"), "spire-agent");
const folder = mkdtempSync(join(tmpdir(), "spire-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function validate(program: string, name: string, configuration: string): void {
  const file = join(folder, name);
  writeFileSync(file, configuration);
  const ended = attempt(program, ["validate", "-config", file, "-expandEnv"]);
  assert.equal(ended.status, 0, `${ended.stdout}${ended.stderr}\n${configuration}`);
}

/** Folder of a plugin's source below `pkg`. */
const sources: Readonly<Record<string, string>> = {
  'DataStore "sql"': "server/datastore/sqlstore",
  'NodeAttestor "k8s_psat" of the server': "server/plugin/nodeattestor/k8spsat",
  'NodeAttestor "k8s_psat" of the agent': "agent/plugin/nodeattestor/k8spsat",
  'WorkloadAttestor "k8s"': "agent/plugin/workloadattestor/k8s",
  'Notifier "k8sbundle"': "server/plugin/notifier/k8sbundle",
  'KeyManager "disk"': "server/plugin/keymanager/disk",
  'UpstreamAuthority "disk"': "server/plugin/upstreamauthority/disk",
  'UpstreamAuthority "aws_pca"': "server/plugin/upstreamauthority/awspca",
  'UpstreamAuthority "awssecret"': "server/plugin/upstreamauthority/awssecret",
  'UpstreamAuthority "vault"': "server/plugin/upstreamauthority/vault",
  'UpstreamAuthority "cert-manager"': "server/plugin/upstreamauthority/certmanager",
};

/** Fields that the plugin decodes. */
function fieldsOf(source: string): ReadonlySet<string> {
  const path = join(moduleFolder("spire", "github.com/spiffe/spire"), "pkg", source);
  const files = readdirSync(path).filter((name) => name.endsWith(".go") && !name.endsWith("_test.go"));
  const text = files.map((name) => readFileSync(join(path, name), "utf8")).join("\n");
  return new Set([...text.matchAll(/hcl:"([a-z0-9_]+)/g)].map(([, name]) => name!));
}

/** Each plugin of a configuration with the names of its fields, inner ones too. */
function pluginsOf(configuration: string): readonly (readonly [string, readonly string[]])[] {
  return [...configuration.matchAll(/^ {2}(\w+ "[\w-]+") \{\n([^]*?)^ {2}\}/gm)].map(([, name, body]) => [
    name!,
    [...body!.matchAll(/^ +([a-z0-9_]+) (?:=|\{)/gm)].map(([, field]) => field!).slice(1),
  ]);
}

for (const [name, values] of Object.entries(cases)) {
  test(`${name}: SPIRE reads its configuration, and plugins know their fields`, () => {
    const objects = objectsOf(render(values));
    const server = find(objects, "ConfigMap", "spire-server")["data"]["server.conf"] as string;
    const agent = find(objects, "ConfigMap", "spire-agent")["data"]["agent.conf"] as string;
    validate(spireServer, "server.conf", server);
    validate(spireAgent, "agent.conf", agent);
    for (const [part, configuration] of [
      ["server", server],
      ["agent", agent],
    ] as const) {
      const plugins = pluginsOf(configuration);
      assert.ok(plugins.length >= 3);
      for (const [plugin, fields] of plugins) {
        const source = sources[plugin] ?? sources[`${plugin} of the ${part}`];
        if (plugin === 'KeyManager "memory"') {
          assert.deepEqual(fields, []);
          continue;
        }
        assert.ok(source !== undefined, plugin);
        const known = fieldsOf(source);
        assert.deepEqual(
          fields.filter((field) => !known.has(field)),
          [],
          plugin,
        );
        assert.ok(fields.length > 0, plugin);
      }
    }
  });
}

test("SPIRE refuses a configuration that is wrong", () => {
  const server = find(objectsOf(render({})), "ConfigMap", "spire-server")["data"]["server.conf"] as string;
  assert.throws(() => validate(spireServer, "wrong.conf", server.replace('"720h"', '"a month"')));
  assert.throws(() => validate(spireServer, "wrong.conf", server.replace("ca_ttl", "ca_til")));
});
