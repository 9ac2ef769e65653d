/**
 * docs/kubernetes/migration.md: an application with manifests of NGINX Service Mesh 2.0 (migration/app.yaml), and each command of
 * the document, in its order. NSM's images cannot be had, so that the mesh to migrate from is this one, in NSM's order of
 * containers, with NSM's values.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse, stringify } from "yaml";
import { answerOf, type Answer, type Request } from "./app.ts";
import { appImage, attempt, getObject, getObjects, helm, namespaceNamed, run, until } from "./fixture.ts";
import type { LoadResult } from "./load.ts";
import {
  callerOf,
  chart,
  chartValues,
  freeVolumes,
  identity,
  isInjected,
  meshNamespace,
  uninstallMesh,
} from "./mesh.ts";

const checkout = join(import.meta.dirname, "../..");
const text = readFileSync(join(checkout, "docs/kubernetes/migration.md"), "utf8");
const shop = namespaceNamed("nsm-shop");
const workloads = ["deployment/front", "deployment/target-v1", "statefulset/target-v2"];
const values = join(import.meta.dirname, "migration/values.yaml");
const manifests = readFileSync(join(import.meta.dirname, "migration/app.yaml"), "utf8");

/** Commands of the document by the number of their step. */
const steps = new Map(
  text
    .split(/^(?=\d\. \*\*)/m)
    .slice(1)
    .map((step) => [
      Number(step[0]),
      [...step.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block]) =>
        block!
          .split("\n")
          .map((line) => line.trim())
          .filter((line) => line !== ""),
      ),
    ]),
);

let folder: string;

/** As a reader does it: with names in place, and images where the test bed has them. */
function adapted(command: string): string {
  const own = chartValues()
    .map((value) => `'${value}'`)
    .join(" ");
  return command
    .replaceAll("NAMESPACE", shop.name)
    .replace("--set registry.server=REGISTRY", own)
    .replace("nginx-meshctl remove", "nginx-meshctl remove --yes");
}

/** Runs the commands of a step; what each of them prints. */
async function follow(step: number): Promise<readonly string[]> {
  const commands = steps.get(step) ?? [];
  assert.ok(commands.length > 0, `step ${step} of the document has no command`);
  const outputs: string[] = [];
  for (const command of commands) {
    const tool = `nginx-meshctl() { '${process.execPath}' '${checkout}/build/nginx-meshctl.mjs' "$@"; }`;
    const script = `cd '${folder}'; ${tool}; ${adapted(command)}`;
    const ended = await attempt("bash", ["-euc", script], { timeout: 240 });
    assert.equal(ended.status, 0, `${command}\n${ended.stdout}\n${ended.stderr}`);
    outputs.push(ended.stdout);
  }
  return outputs;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "migration-"));
  symlinkSync(join(checkout, "charts"), join(folder, "charts"));
  await uninstallMesh();
  await run("kubectl", ["apply", "--server-side", "--force-conflicts", "-f", join(chart, "crds")]);
  const where = ["--namespace", meshNamespace, "--create-namespace", "--wait", "--timeout", "180s"];
  const old = [
    "--values",
    values,
    ...chartValues(),
    "--set",
    "registry.imageTag=",
    "--set",
    "sidecar.order=classic",
  ];
  await helm("install", "nginx-mesh", chart, ...where, ...old);
  await run("kubectl", ["apply", "-f", "-"], { input: manifests.replaceAll("IMAGE", appImage) });
  await shop.ready(...workloads);
});

after(async () => {
  await attempt("kubectl", ["delete", "namespace", shop.name, "--ignore-not-found", "--wait=false"]);
  await uninstallMesh();
  rmSync(folder, { recursive: true, force: true });
});

async function ask(url: string): Promise<Answer> {
  const ended = await shop.exec("app=front", "app", "/app", "get", url);
  const answer = answerOf(ended);
  assert.ok(answer !== undefined, `${url}: ${ended.stderr}`);
  return answer;
}

const versionOf = (answer: Answer): string => (JSON.parse(answer.body) as Request).version;

/** Requests of 4 s: none fails; shares of the two versions. */
async function load(): Promise<Readonly<Record<string, number>>> {
  const command = ["/app", "load", "-url", "http://target/", "-seconds", "4", "-rate", "100"];
  const ended = await shop.exec("app=front", "app", ...command);
  const result = JSON.parse(ended.stdout) as LoadResult;
  assert.ok(result.sent > 300, `${result.sent} requests`);
  assert.deepEqual(result.failures, []);
  const share = (version: string): number => (result.versions[version] ?? 0) / result.sent;
  return { "1": share("1"), "2": share("2") };
}

/** Waits until those of before a restart are gone. */
async function allPods(meshed: boolean): Promise<void> {
  await until(`three pods ${meshed ? "with" : "without"} sidecars`, 60, async () => {
    const pods = await shop.pods();
    return pods.length === 3 && pods.every((pod) => isInjected(pod) === meshed) ? true : undefined;
  });
}

/** All that the application does in a mesh, of NSM or this one. */
async function worksInMesh(): Promise<void> {
  await allPods(true);
  await until("mTLS between the pods", 20, async () =>
    callerOf(await ask("http://target/")) === identity(shop.name, "front") ? true : undefined,
  );
  const shares = await load();
  // a fifth of 400, within four standard deviations
  assert.ok(Math.abs(shares["2"]! - 0.2) < 0.08, JSON.stringify(shares));
  assert.equal(versionOf(await ask("http://search/")), "1");
  assert.equal(versionOf(await ask("http://search/beta/x")), "2");
  const echoed = await shop.exec(
    "app=front",
    "app",
    "sh",
    "-c",
    "{ echo hi; sleep 1; } | nc -w 3 target 7000",
  );
  assert.match(echoed.stdout, /hi/);
}

/** Without sidecars a Service is all of its pods, and nobody knows who calls. */
async function worksWithout(): Promise<void> {
  await allPods(false);
  const answer = await ask("http://target/");
  assert.deepEqual([answer.status, callerOf(answer)], [200, undefined]);
  await load();
}

const policies = "trafficsplits,traffictargets,httproutegroups,tcproutes,ratelimits,circuitbreakers";

test("before: the application works in the old mesh", worksInMesh);

test("1 and 2: what there is is kept, and judged", async () => {
  await follow(1);
  const kept = parse(readFileSync(join(folder, "policies.yaml"), "utf8")) as { items: { kind: string }[] };
  const own = kept.items.filter((item) => JSON.stringify(item).includes(shop.name));
  assert.deepEqual(own.map(({ kind }) => kind).sort(), [
    "CircuitBreaker",
    "HTTPRouteGroup",
    "RateLimit",
    "RateLimit",
    "TCPRoute",
    "TrafficSplit",
    "TrafficSplit",
    "TrafficTarget",
  ]);
  const [judgement] = await follow(2);
  assert.match(judgement!, /^8 objects, 0 errors, \d+ warnings$/m);
});

test("3: NSM's values are taken, without its images", async () => {
  const file = join(folder, "values.yaml");
  const {
    registry: _images,
    sidecar: _order,
    ...kept
  } = parse(readFileSync(file, "utf8")) as Record<string, object>;
  const { registry: _theirs, ...given } = parse(readFileSync(values, "utf8")) as Record<string, object>;
  assert.deepEqual(kept, given);
  // Helm reads YAML 1.1, where a plain `on` is true
  writeFileSync(
    file,
    stringify({ ...kept, mtls: { ...kept["mtls"], mode: "permissive" } }, { version: "1.1" }),
  );
});

test("4 and 5: sidecars out, the application works without", async () => {
  await follow(4);
  await follow(5);
  await worksWithout();
});

test("6: the old mesh is out, nothing of it is in the way", async () => {
  const hooks = (await follow(6)).at(-1)!;
  assert.doesNotMatch(hooks, /nginx-mesh/);
  assert.deepEqual(await getObjects("--namespace", meshNamespace, "persistentvolumeclaims"), []);
  await freeVolumes();
  await worksWithout();
  // NSM's own removal took the definitions, and so all policies, with it
  await shop.kubectl("delete", policies, "--all");
});

test("7: the new mesh, with the settings and policies of the old one", async () => {
  await follow(7);
  const config = await getObject("--namespace", meshNamespace, "meshconfig", "nginx-mesh-config");
  const { nginxLogFormat, nginxErrorLogLevel, nginxLBMethod, clientMaxBodySize, mtls } = config["spec"];
  assert.deepEqual(
    [nginxLogFormat, nginxErrorLogLevel, nginxLBMethod, clientMaxBodySize, mtls.mode],
    ["json", "notice", "round_robin", "2m", "permissive"],
  );
  assert.equal((await getObjects("--namespace", shop.name, policies)).length, 8);
  await worksWithout();
});

test("8 and 9: sidecars in; manifests mean what they meant", async () => {
  assert.match((await follow(8)).at(-1)!, /^No traffic of deployments in namespace nsm-shop/);
  await worksInMesh();
  const tool = join(checkout, "build/nginx-meshctl.mjs");
  const top = await run(process.execPath, [tool, "-n", shop.name, "top"]);
  assert.match(top, /^front +100\.00%/m);
  await follow(9);
  await worksInMesh();
  const ended = await run(process.execPath, [tool, "config"]);
  // oxlint-disable-next-line no-explicit-any -- of many forms
  const { keys } = JSON.parse(ended) as { keys: Record<string, any> };
  const ofPods = (workload: string): unknown[] => {
    const { mtlsMode, clientMaxBodySize } = keys[`workload.${shop.name}.${workload}`];
    return [mtlsMode, clientMaxBodySize];
  };
  assert.deepEqual(ofPods("deployment.target-v1"), ["strict", 8 * 1024 ** 2]);
  assert.deepEqual(ofPods("statefulset.target-v2"), ["strict", 2 * 1024 ** 2]);
  assert.equal(keys[`service.${shop.name}.target-v1`].ports[0].balancing, "random two least_conn");
  for (const { metadata, status } of await getObjects("--namespace", shop.name, "trafficsplits")) {
    const accepted = (status.conditions as { type: string; status: string }[]).find(
      ({ type }) => type === "Accepted",
    );
    assert.equal(accepted?.status, "True", metadata.name);
  }
});
