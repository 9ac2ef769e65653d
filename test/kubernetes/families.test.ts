/** Pods with addresses of both families: what goes over IPv6 is in the mesh as what goes over IPv4 is. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { app, appService } from "./app.ts";
import { described, getObject, inNamespace, type KubernetesObject, type Namespace } from "./fixture.ts";
import { callerOf, ensureMesh, getSoon, identity, injected, modeAnnotation } from "./mesh.ts";

before(() => ensureMesh());

const isIpv6 = (address: string): boolean => address.includes(":");
const inUrl = (address: string): string => (isIpv6(address) ? `[${address}]` : address);

/** A pod's address of IPv6; undefined on a cluster without. */
function ipv6Of(pod: KubernetesObject | undefined): string | undefined {
  const all = (pod?.["status"].podIPs ?? []) as readonly { readonly ip: string }[];
  return all.map(({ ip }) => ip).find(isIpv6);
}

async function addressesOf(namespace: Namespace, service: string): Promise<readonly string[]> {
  const found = await getObject("--namespace", namespace.name, "service", service);
  return found["spec"].clusterIPs as readonly string[];
}

const bare = { labels: { "injector.nsm.nginx.com/auto-inject": "disabled" } };
const both = { ipFamilyPolicy: "RequireDualStack" };
const six = { ipFamilies: ["IPv6"], ipFamilyPolicy: "SingleStack", selector: { app: "server" } };

async function deploy(namespace: Namespace): Promise<void> {
  const [account, deployment] = app({ name: "server", annotations: modeAnnotation("strict") });
  await namespace.apply(
    account!,
    deployment!,
    ...app({ name: "client" }),
    ...app({ name: "outsider", ...bare }),
  );
  await namespace.ready("deployment/server", "deployment/client", "deployment/outsider");
}

test("Services of both families and of IPv6 alone, in strict mode", async (context) => {
  await inNamespace(injected, async (namespace) => {
    await deploy(namespace);
    const [pod] = await namespace.pods("app=server");
    const podAddress = ipv6Of(pod);
    if (podAddress === undefined) {
      context.skip("pods of this cluster have no IPv6 addresses");
      return;
    }
    await namespace.apply(appService("server", both), appService("six", six));
    const headless = { ...six, clusterIP: "None" };
    await namespace.apply(appService("headless", headless));
    const dual = await addressesOf(namespace, "server");
    assert.equal(dual.filter(isIpv6).length, 1, dual.join(" "));
    const only = await addressesOf(namespace, "six");
    assert.ok(only.length === 1 && only.every(isIpv6), only.join(" "));
    const rows: readonly (readonly [string, string])[] = [
      ...dual.map((address) => ["a Service of both families", `http://${inUrl(address)}/`] as const),
      ["the name of a Service of both families", "http://server/"],
      ["a Service of IPv6 alone", `http://${inUrl(only[0]!)}/`],
      ["the name of a Service of IPv6 alone", "http://six/"],
      ["a headless Service of IPv6 alone", "http://headless:8080/"],
      ["the pod's own address", `http://${inUrl(podAddress)}:8080/`],
    ];
    for (const [name, url] of rows) {
      await context.test(`${name}: ${url}`, () =>
        described(namespace.name, async () => {
          const answer = await getSoon(namespace, "app=client", url);
          assert.equal(answer.status, 200, answer.body);
          assert.equal(callerOf(answer), identity(namespace.name, "client"), "it was encrypted");
          // plain text, which strict mode refuses whatever the family
          const outside = await getSoon(namespace, "app=outsider", url);
          assert.equal(outside.status, 403, outside.body);
        }),
      );
    }
    await context.test("TCP keeps the address that the client asked for", () =>
      described(namespace.name, async () => {
        for (const address of [...dual, ...only, podAddress]) {
          // each port's answer is its own: another original destination would be another port
          const said = await namespace.exec("app=client", "app", "nc", "-w", "5", address, "7001");
          assert.match(said.stdout, /welcome/, `${address}: ${said.stderr}`);
        }
      }),
    );
  });
});
