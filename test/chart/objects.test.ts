/** What must hold for the objects of the chart, whatever the values. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import {
  apiVersionOf,
  endpointSlices,
  objectResources,
  pods,
  serviceAccounts,
  serviceCidrs,
} from "../../src/cluster/kubernetes/resources.ts";
import { customResourceDefinitions } from "../../src/api/crds.ts";
import { chartGroups } from "../../src/cli/release-objects.ts";
import { cases } from "./cases.ts";
import { chart } from "./programs.ts";
import { containersOf, find, objectsOf, podsOf, render, type Rendered } from "./render.ts";

const namespace = "nginx-mesh";
const all = Object.entries(cases).map(([name, values]) => [name, objectsOf(render(values))] as const);
const defaults = objectsOf(render({}));

/** Pods that need more of the node than the restricted level lets them have, and what for. */
const beyond: Readonly<Record<string, readonly string[]>> = {
  // processes of other pods, and the folder with its socket
  "spire-agent": ["hostPID", "root", "hostPath"],
  // mounts into other pods
  "spiffe-csi-driver": ["root", "hostPath", "privileged"],
  "nginx-mesh-controller": ["hostPath"],
  "nats-server": ["hostPath"],
};

for (const [name, objects] of all) {
  test(`${name}: pods keep to the restricted level of Pod Security, but for what is known`, () => {
    for (const pod of podsOf(objects)) {
      const may = (what: string): boolean => beyond[pod.owner]?.includes(what) === true;
      const { spec, owner } = pod;
      assert.ok(spec.hostNetwork === undefined && spec.hostIPC === undefined, owner);
      assert.ok(spec.hostPID === undefined || may("hostPID"), owner);
      for (const volume of spec.volumes) {
        assert.ok(volume.hostPath === undefined || may("hostPath"), `${owner} ${volume.name}`);
      }
      for (const container of containersOf(pod)) {
        const where = `${owner} ${container.name}`;
        if (container.securityContext.privileged === true) {
          assert.ok(may("privileged"), where);
          continue;
        }
        assert.ok(spec.securityContext?.runAsNonRoot === true || may("root"), where);
        assert.deepEqual(container.securityContext.capabilities, { drop: ["ALL"] }, where);
        assert.equal(container.securityContext.allowPrivilegeEscalation, false, where);
        assert.equal(container.securityContext.readOnlyRootFilesystem, true, where);
        assert.ok(
          spec.securityContext?.seccompProfile?.type === "RuntimeDefault" || may("privileged"),
          where,
        );
      }
    }
  });

  test(`${name}: what objects name is there`, () => {
    const has = (kind: string, each: string): boolean =>
      objects.some((object) => object.kind === kind && object.metadata.name === each);
    for (const pod of podsOf(objects)) {
      assert.ok(has("ServiceAccount", pod.spec.serviceAccountName), pod.owner);
      for (const secret of pod.spec.imagePullSecrets ?? []) {
        assert.ok(has("Secret", secret.name), `${pod.owner} ${secret.name}`);
      }
      const claims =
        find(
          objects,
          pod.owner.startsWith("sp") && pod.owner.endsWith("server")
            ? "StatefulSet"
            : kindOf(objects, pod.owner),
          pod.owner,
        )["spec"].volumeClaimTemplates ?? [];
      const volumes = [...pod.spec.volumes, ...claims.map((claim: Rendered) => claim.metadata)];
      for (const { configMap, secret } of pod.spec.volumes) {
        assert.ok(
          configMap === undefined || has("ConfigMap", configMap.name),
          `${pod.owner} ${configMap?.name}`,
        );
        assert.ok(
          secret === undefined || has("Secret", secret.secretName),
          `${pod.owner} ${secret?.secretName}`,
        );
      }
      for (const container of containersOf(pod)) {
        for (const mount of container.volumeMounts ?? []) {
          assert.ok(
            volumes.some((volume) => volume.name === mount.name),
            `${pod.owner} ${mount.name}`,
          );
        }
      }
      const priority = pod.spec.priorityClassName as string;
      assert.ok(priority.startsWith("system-") || has("PriorityClass", priority), pod.owner);
    }
    for (const binding of objects.filter(({ kind }) => kind.endsWith("RoleBinding"))) {
      const role = binding["roleRef"] as { kind: string; name: string };
      const isBuiltIn = role.name.startsWith("system:") || role.name.startsWith("extension-apiserver-");
      assert.ok(isBuiltIn || has(role.kind, role.name), binding.metadata.name);
      for (const subject of binding["subjects"]) {
        assert.ok(has("ServiceAccount", subject.name) && subject.namespace === namespace, subject.name);
      }
    }
  });

  test(`${name}: Services, budgets and policies find their pods, and ports have names that pods have`, () => {
    const pods = podsOf(objects);
    const selected = (labels: Readonly<Record<string, string>>) =>
      pods.filter((pod) =>
        Object.entries(labels).every(([key, value]) => pod.metadata.labels[key] === value),
      );
    for (const object of objects) {
      const labels =
        object.kind === "Service"
          ? object["spec"].selector
          : object.kind === "PodDisruptionBudget"
            ? object["spec"].selector.matchLabels
            : object.kind === "NetworkPolicy"
              ? object["spec"].podSelector.matchLabels
              : undefined;
      if (labels === undefined) {
        continue;
      }
      const found = selected(labels);
      assert.equal(found.length, 1, `${object.kind} ${object.metadata.name}`);
      const names = containersOf(found[0]!).flatMap(({ ports }) =>
        (ports ?? []).map((port: { name: string }) => port.name),
      );
      const wanted =
        object.kind === "Service"
          ? object["spec"].ports.map((port: { targetPort: string }) => port.targetPort)
          : (object["spec"].ingress ?? []).flatMap(({ ports }: { ports: { port: string }[] }) =>
              ports.map(({ port }) => port),
            );
      wanted.forEach((port: string) => assert.ok(names.includes(port), `${object.metadata.name} ${port}`));
    }
  });

  test(`${name}: no hooks, and what is not in a namespace has the mesh's name`, () => {
    for (const object of objects) {
      assert.equal(object.metadata.annotations?.["helm.sh/hook"], undefined);
      const where = object.metadata.namespace;
      const fixed = ["v1alpha1.metrics.smi-spec.io", "csi.spiffe.io"];
      assert.ok(
        where !== undefined ||
          object.metadata.name.startsWith(`${namespace}-`) ||
          fixed.includes(object.metadata.name),
        `${object.kind} ${object.metadata.name}`,
      );
    }
  });

  test(`${name}: nginx-meshctl looks for every kind when it removes the mesh`, () => {
    const groups = objects.map(({ apiVersion }) => apiVersion.split("/").at(-2) ?? "");
    assert.deepEqual(
      groups.filter((group) => !chartGroups.includes(group)),
      [],
    );
  });

  test(`${name}: what is secret is in Secrets alone`, () => {
    const open = JSON.stringify(objects.filter(({ kind }) => kind !== "Secret"));
    assert.equal(/hidden|PRIVATE KEY|service_account"/.exec(open)?.[0], undefined);
  });
}

function kindOf(objects: readonly Rendered[], name: string): string {
  return objects.find((each) => each.metadata.name === name && each["spec"]?.template !== undefined)!.kind;
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

function may(rules: readonly Rule[], group: string, resource: string, verbs: readonly string[]): boolean {
  return rules.some(
    (rule) =>
      rule.apiGroups.includes(group) &&
      rule.resources.includes(resource) &&
      rule.resourceNames === undefined &&
      verbs.every((verb) => rule.verbs.includes(verb)),
  );
}

test("the controller may follow exactly what it follows", () => {
  const cluster = find(defaults, "ClusterRole", "nginx-mesh-controller")["rules"] as readonly Rule[];
  const own = find(defaults, "Role", "nginx-mesh-controller")["rules"] as readonly Rule[];
  const read = ["get", "list", "watch"];
  const followed = [...objectResources(namespace), pods, endpointSlices, serviceCidrs];
  for (const resource of followed) {
    const rules = resource.namespace === undefined ? cluster : own;
    assert.ok(may(rules, resource.group, resource.plural, read), apiVersionOf(resource, resource.plural));
  }
  const listed = cluster.filter((rule) => rule.verbs.includes("list")).flatMap((rule) => rule.resources);
  assert.deepEqual(
    listed.toSorted(),
    followed
      .filter((each) => each.namespace === undefined)
      .map((each) => each.plural)
      .toSorted(),
  );
});

test("NATS may follow the ServiceAccounts", () => {
  const rules = find(defaults, "ClusterRole", "nginx-mesh-nats-server")["rules"] as readonly Rule[];
  assert.deepEqual(
    rules.flatMap((rule) => rule.resources),
    [serviceAccounts.plural],
  );
});

test("nobody may do everything, and only names that are known are written", () => {
  for (const role of defaults.filter(({ kind }) => kind.endsWith("Role"))) {
    for (const rule of role["rules"] as readonly Rule[]) {
      assert.ok(![...rule.verbs, ...rule.resources, ...rule.apiGroups].includes("*"), role.metadata.name);
      const writes = rule.verbs.some((verb) => !["get", "list", "watch", "create"].includes(verb));
      const ownStatus = rule.resources.every(
        (resource) => resource.endsWith("/status") || resource === "events",
      );
      assert.ok(!writes || ownStatus || rule.resourceNames !== undefined, role.metadata.name);
    }
  }
});

test("the chart has all definitions", () => {
  for (const { metadata } of customResourceDefinitions()) {
    const file = join(chart, "crds", `${metadata.name}.yaml`);
    assert.equal(
      (parse(readFileSync(file, "utf8"), { version: "1.1" }) as Rendered).metadata.name,
      metadata.name,
    );
  }
});

test("every value is in the schema, in the README and described where it is set", () => {
  const schema = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8")) as object;
  const readme = readFileSync(join(chart, "README.md"), "utf8");
  type Form = { readonly properties?: Readonly<Record<string, Form>> };
  const leaves = (form: Form, path: string): readonly string[] =>
    form.properties === undefined
      ? [path]
      : Object.entries(form.properties).flatMap(([name, each]) =>
          leaves(each, path === "" ? name : `${path}.${name}`),
        );
  const missing = leaves(schema, "")
    .map((path) => path.replace(/\.resources\..*/, ".resources"))
    .filter((path) => path !== "global" && !readme.includes(`\`${path}\``));
  assert.deepEqual([...new Set(missing)], []);
  const values = parse(readFileSync(join(chart, "values.yaml"), "utf8")) as object;
  const known = new Set(
    leaves(schema, "").flatMap((path) => path.split(".").map((_, at, all) => all.slice(0, at + 1).join("."))),
  );
  const set = (value: unknown, path: string): readonly string[] =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([name, each]) => set(each, path === "" ? name : `${path}.${name}`))
      : [path];
  assert.deepEqual(
    set(values, "").filter((path) => !known.has(path) && !/\.resources\.|^nodeSelector/.test(path)),
    [],
  );
});
