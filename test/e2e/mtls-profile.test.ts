/**
 * What a certificate of the mesh's own authority must be to count as an SVID (X509-SVID, 2 to 5): a leaf with exactly one
 * SPIFFE ID, of this trust domain. Capture is taken away from one pod, which speaks to another pod's sidecar itself.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, afterEach, before, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { startMesh, type TestMesh } from "./mesh.ts";
import { startPodClient, type PodClient } from "./pod-client.ts";
import { showSidecars, sidecarProcesses } from "./sidecar.ts";
import { type Pem, signProfile } from "./svids.ts";
import { removeCapture } from "./wire.ts";
import { anything, anythingReady, idle, workload } from "./workload.ts";

let mesh: TestMesh;
let forger: PodClient;
/** An address of the forger's pod that the mesh knows nothing of, so that no identity is expected there. */
let unknown: string;

before(async () => {
  mesh = await startMesh({
    "server.yaml": workload({ name: "server", ports: anything, probe: anythingReady }),
    "forger.yaml": idle("forger"),
  });
  const pod = await mesh.pod("forger");
  await removeCapture(mesh, pod, "OUTPUT");
  unknown = pod.address.replace(/\d+\.\d+$/, "63.250");
  const target = String(sidecarProcesses(pod, mesh).master);
  const add = ["ip", "address", "add", `${unknown}/32`, "dev", "eth0"];
  await promisify(execFile)("nsenter", ["--net", "--target", target, "--", ...add]);
  forger = startPodClient(mesh, "forger");
});

afterEach((context) => showSidecars(context as TestContext, mesh));

after(async () => {
  forger?.stop();
  await mesh?.stop();
});

/** The status of a request with this SVID, "" when there is none, and the caller that the application saw. */
async function request(identity: Pem, from?: string): Promise<string> {
  const { address } = await mesh.pod("server");
  return forger.run(
    (tools, given) =>
      new Promise<string>((resolve) => {
        const { host, localAddress, own } = given;
        const socket = tools.tls.connect({
          host,
          port: 8080,
          servername: "http.nginx-mesh.internal",
          ...own,
          ...(localAddress === undefined ? {} : { localAddress }),
          rejectUnauthorized: false,
        });
        let text = "";
        const done = (): void => {
          const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? "";
          const caller = /"x-forwarded-client-cert":"[^"]*URI=([^"]*)"/.exec(text)?.[1] ?? "";
          resolve(`${status} ${caller}`.trim());
          socket.destroy();
        };
        socket.on("secureConnect", () =>
          socket.write("GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n"),
        );
        socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
        socket.on("error", done);
        socket.on("close", done);
        socket.setTimeout(4000, () => resolve("time-out"));
      }),
    { host: address, localAddress: from, own: identity },
  );
}

const own = "spiffe://example.org/ns/default/sa/forger";

const cases: readonly {
  readonly what: string;
  readonly profile: { readonly uris: readonly string[]; readonly authority?: boolean };
  readonly elsewhere?: boolean;
  readonly expected: string;
}[] = [
  { what: "one SPIFFE ID, its own", profile: { uris: [own] }, expected: `200 ${own}` },
  { what: "that of an authority", profile: { uris: [own], authority: true }, expected: "" },
  { what: "two SPIFFE IDs, its own last", profile: { uris: [`${own}-2`, own] }, expected: "" },
  { what: "two SPIFFE IDs, its own first", profile: { uris: [own, `${own}-2`] }, expected: "" },
  { what: "no SPIFFE ID", profile: { uris: [] }, expected: "" },
  {
    what: "one SPIFFE ID, from an address that is not known",
    profile: { uris: [own] },
    elsewhere: true,
    expected: `200 ${own}`,
  },
  {
    what: "of another trust domain, from an address that is not known",
    profile: { uris: ["spiffe://example.com/ns/default/sa/forger"] },
    elsewhere: true,
    expected: "",
  },
  {
    what: "of a trust domain that begins like this one, from an address that is not known",
    profile: { uris: ["spiffe://example.org.evil/ns/default/sa/forger"] },
    elsewhere: true,
    expected: "",
  },
];

for (const { what, profile, elsewhere, expected } of cases) {
  test(`a certificate ${what}: ${expected === "" ? "refused" : "accepted"}`, async () => {
    const identity = await signProfile(mesh.layout.authority, "example.org", profile);
    assert.equal(await request(identity, elsewhere === true ? unknown : undefined), expected);
  });
}
