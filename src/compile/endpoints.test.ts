/** Endpoints of Services where EndpointSlices tell them. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseObject } from "../api/objects.ts";
import { createSnapshot, type EndpointSlice, type RunningPod } from "../cluster/snapshot.ts";
import { compile } from "./configuration.ts";
import { buildModel } from "../model/build.ts";

function service(spec: object) {
  const raw = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: { ports: [{ name: "http", port: 80, targetPort: "web" }], ...spec },
  };
  const { object, problems } = parseObject(raw, "");
  assert.deepEqual(problems, []);
  return object!;
}

function pod(name: string, address: string, more: Partial<RunningPod> = {}): RunningPod {
  return {
    namespace: "shop",
    name,
    uid: name,
    labels: { app: "web" },
    annotations: {},
    owner: { kind: "deployment", name: "web" },
    serviceAccount: "web",
    address,
    ready: true,
    terminating: false,
    meshed: true,
    ports: [],
    ...more,
  };
}

type SliceEndpoint = EndpointSlice["endpoints"][number];

function endpoint(address: string, name: string, more: Partial<SliceEndpoint> = {}): SliceEndpoint {
  const target = name === "" ? "" : `shop/${name}`;
  return { address, ready: true, serving: true, terminating: false, pod: target, ...more };
}

function slice(endpoints: readonly SliceEndpoint[], port = 8080, name = "web-1"): EndpointSlice {
  return {
    namespace: "shop",
    name,
    service: "web",
    ports: [{ name: "http", port, protocol: "TCP" }],
    endpoints,
  };
}

function modelOf(pods: readonly RunningPod[], endpointSlices: readonly EndpointSlice[], spec: object = {}) {
  const snapshot = createSnapshot({
    objects: [service({ selector: { app: "web" }, ...spec })],
    pods,
    services: [{ namespace: "shop", name: "web", addresses: ["10.96.0.1"] }],
    serviceRanges: [],
    endpointSlices,
    problems: [],
  });
  return buildModel(snapshot, { trustDomain: "example.org", statisticsInterval: 1 });
}

const identity = "spiffe://example.org/ns/shop/sa/web";

/** Name → pods, slices → `address:port pod identity?` of each endpoint. */
const cases: readonly [string, readonly RunningPod[], readonly EndpointSlice[], readonly string[]][] = [
  [
    "the slice's ports and readiness count, not the pod's",
    [pod("a", "10.0.0.1", { ready: false }), pod("b", "10.0.0.2")],
    [slice([endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b", { ready: false, serving: false })])],
    ["10.0.0.1:8080 a meshed"],
  ],
  [
    "several slices, with different numbers of one named port",
    [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")],
    [slice([endpoint("10.0.0.2", "b")], 9090, "web-2"), slice([endpoint("10.0.0.1", "a")])],
    ["10.0.0.1:8080 a meshed", "10.0.0.2:9090 b meshed"],
  ],
  [
    "a pod that terminates takes no traffic while another is ready",
    [pod("a", "10.0.0.1", { terminating: true }), pod("b", "10.0.0.2")],
    [slice([endpoint("10.0.0.1", "a", { ready: false, terminating: true }), endpoint("10.0.0.2", "b")])],
    ["10.0.0.2:8080 b meshed"],
  ],
  [
    "while all terminate those that serve take it",
    [pod("a", "10.0.0.1", { terminating: true }), pod("b", "10.0.0.2", { terminating: true })],
    [
      slice([
        endpoint("10.0.0.1", "a", { ready: false, terminating: true }),
        endpoint("10.0.0.2", "b", { ready: false, terminating: true, serving: false }),
      ]),
    ],
    ["10.0.0.1:8080 a meshed"],
  ],
  [
    "an address that is no pod's is reached in plain text",
    [],
    [slice([endpoint("192.0.2.1", "")])],
    ["192.0.2.1:8080  plain"],
  ],
  [
    "an address without a name that is a meshed pod's is reached as the pod",
    [pod("a", "10.0.0.1")],
    [slice([endpoint("10.0.0.1", "")])],
    ["10.0.0.1:8080 a meshed"],
  ],
  [
    "a pod that is not known yet waits, as it would be reached in plain text",
    [pod("a", "10.0.0.1")],
    [slice([endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")])],
    ["10.0.0.1:8080 a meshed"],
  ],
  [
    "a slice that names a pod at another's address is not believed",
    [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")],
    [slice([endpoint("10.0.0.2", "a")])],
    [],
  ],
  [
    "a pod with two address families is one endpoint, at the address that it has first",
    [pod("a", "10.0.0.1", { otherAddresses: ["fd00::1"] })],
    [slice([endpoint("fd00::1", "a")], 8080, "web-0"), slice([endpoint("10.0.0.1", "a")])],
    ["10.0.0.1:8080 a meshed"],
  ],
  [
    "a Service of the second family alone is reached by it",
    [pod("a", "10.0.0.1", { otherAddresses: ["fd00::1"] })],
    [slice([endpoint("fd00::1", "a")])],
    ["fd00::1:8080 a meshed"],
  ],
  [
    "pods of one node's network are told apart by their names",
    [
      pod("a", "172.16.0.1", { hostNetwork: true, meshed: false }),
      pod("b", "172.16.0.1", { hostNetwork: true, meshed: false }),
    ],
    [slice([endpoint("172.16.0.1", "b")])],
    ["172.16.0.1:8080 b plain"],
  ],
];

for (const [name, pods, slices, expected] of cases) {
  test(name, () => {
    const model = modelOf(pods, slices);
    assert.deepEqual(model.problems, []);
    assert.deepEqual(
      model.services[0]?.ports[0]?.endpoints.map(
        ({ address, port, pod: reached }) =>
          `${address}:${port} ${reached.name} ${reached.identity === identity ? "meshed" : reached.identity === "" ? "plain" : reached.identity}`,
      ),
      expected,
    );
  });
}

test("the order of slices and their endpoints does not matter", () => {
  const pods = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2"), pod("c", "10.0.0.3")];
  const one = slice([endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")]);
  const other = slice([endpoint("10.0.0.3", "c")], 8080, "web-2");
  const turned = { ...one, endpoints: one.endpoints.toReversed() };
  const { version } = compile(modelOf(pods, [one, other]));
  assert.equal(compile(modelOf(pods.toReversed(), [other, turned])).version, version);
});

test("both addresses of a pod lead to it, none of its node's do", () => {
  const pods = [
    pod("a", "10.0.0.1", { otherAddresses: ["fd00::1"] }),
    pod("b", "172.16.0.1", { hostNetwork: true, meshed: false }),
    pod("c", "172.16.0.1", { hostNetwork: true, meshed: false }),
  ];
  const model = modelOf(pods, []);
  assert.deepEqual(model.problems, []);
  assert.deepEqual(
    [...compile(model).keys.keys()].filter((key) => key.startsWith("address.")),
    ["address.10-0-0-1", "address.10-96-0-1", "address.fd000000000000000000000000000001"],
  );
});

test("a Service without a selector has no problem while it has endpoints", () => {
  const without = modelOf([], [], { selector: {} });
  assert.deepEqual(
    without.problems.map((problem) => problem.reason),
    ["NoEndpoints"],
  );
  assert.deepEqual(modelOf([], [slice([endpoint("192.0.2.1", "")])], { selector: {} }).problems, []);
});

test("a headless Service has the ports of its endpoints", () => {
  const model = modelOf(
    [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")],
    [slice([endpoint("10.0.0.1", "a")]), slice([endpoint("10.0.0.2", "b")], 9090, "web-2")],
    { clusterIP: "None" },
  );
  assert.deepEqual(
    model.services[0]?.ports.map(({ port, endpoints }) => [port, endpoints.map(({ address }) => address)]),
    [
      [8080, ["10.0.0.1"]],
      [9090, ["10.0.0.2"]],
    ],
  );
});
