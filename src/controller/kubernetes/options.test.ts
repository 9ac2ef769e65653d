import { strict as assert } from "node:assert";
import { test } from "node:test";
import { OptionsError } from "../options.ts";
import { readKubernetesOptions } from "./options.ts";

const needed = [
  "--namespace=mesh",
  "--trust-domain=example.org",
  "--nats=nats-server.mesh.svc:4222",
  "--sidecar-image=s:1",
  "--init-image=i:1",
];

test("what need not be said has its default", () => {
  assert.deepEqual(readKubernetesOptions(needed, {}), {
    namespace: "mesh",
    trustDomain: "example.org",
    nats: "nats-server.mesh.svc:4222",
    workloadApi: "/run/spire/sockets/agent.sock",
    sidecarImage: "s:1",
    initImage: "i:1",
    imagePullPolicy: "IfNotPresent",
    pullSecret: "",
    sidecarOrder: "native",
    ipv6: false,
    metricsApi: true,
    podWorkloadApi: "hostPath",
    listen: "0.0.0.0",
    controlListen: "127.0.0.1",
    credentials: "/var/run/secrets/kubernetes.io/serviceaccount",
  });
});

const wrong: readonly [string, readonly string[], RegExp][] = [
  ["a flag is missing", needed.slice(1), /^--namespace is missing$/],
  ["a flag is empty", [...needed, "--listen="], /^--listen is missing$/],
  ["a flag is unknown", [...needed, "--colour=red"], /--colour/],
  [
    "a value is none of its set",
    [...needed, "--sidecar-order=last"],
    /^--sidecar-order last is not one of native, classic$/,
  ],
  ["a family that is neither", [...needed, "--ipv6=maybe"], /^--ipv6 maybe is not one of true, false, auto$/],
  ["NATS without a port", [...needed, "--nats=nats"], /^--nats nats is not HOST:PORT$/],
];

for (const [name, args, message] of wrong) {
  test(name, () =>
    assert.throws(
      () => readKubernetesOptions(args, {}),
      (error: unknown) => error instanceof OptionsError && message.test(error.message),
    ),
  );
}

const families: readonly [string, string | undefined, readonly string[], boolean, string][] = [
  ["IPv4 alone", "10.0.0.7", [], false, "0.0.0.0"],
  ["both families", "10.0.0.7,fd00::7", [], true, "::"],
  ["IPv6 alone", "fd00::7", [], true, "::"],
  [
    "both families, and told not to",
    "10.0.0.7,fd00::7",
    ["--ipv6=false", "--listen=0.0.0.0"],
    false,
    "0.0.0.0",
  ],
  ["told what the pod does not know", undefined, ["--ipv6=true", "--listen=::"], true, "::"],
];

for (const [name, addresses, more, ipv6, listen] of families) {
  test(`families of pods: ${name}`, () => {
    const environment = addresses === undefined ? {} : { POD_IPS: addresses };
    const options = readKubernetesOptions([...needed, ...more], environment);
    assert.deepEqual([options.ipv6, options.listen], [ipv6, listen]);
  });
}
