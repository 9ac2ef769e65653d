import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { natsServerConfiguration, type ServiceAccount } from "./nats-server.ts";

function configure(serviceAccounts: readonly ServiceAccount[], trustDomain = "example.org"): string {
  return natsServerConfiguration({
    listenHost: "10.0.0.1",
    port: 4222,
    storeDirectory: "/var/lib/nats",
    certFile: "/etc/nats/server.pem",
    keyFile: "/etc/nats/server.pem",
    caFile: "/etc/nats/bundle.pem",
    trustDomain,
    serviceAccounts,
  });
}

interface User {
  readonly user: string;
  readonly permissions: { readonly publish: { allow: string[] }; readonly subscribe: { allow: string[] } };
}

function sidecarUsers(configuration: string): User[] {
  return JSON.parse(configuration).accounts.sidecars.users;
}

test("a sidecar reads keys, answers to its own inbox and writes its own statistics, nothing else", () => {
  assert.deepEqual(sidecarUsers(configure([{ namespace: "shop", name: "cart.v2" }])), [
    {
      user: "spiffe://example.org/ns/shop/sa/cart.v2",
      permissions: {
        publish: { allow: ["$JS.API.DIRECT.GET.KV_mesh-v1.$KV.mesh-v1.>", "statistics.shop.cart_v2.>"] },
        subscribe: { allow: ["$KV.mesh-v1.>", "inbox.shop.cart_v2.>"] },
      },
    },
  ]);
});

test("the server is asked for TLS 1.3 with a client certificate, before it says anything", () => {
  assert.deepEqual(JSON.parse(configure([])).tls, {
    cert_file: "/etc/nats/server.pem",
    key_file: "/etc/nats/server.pem",
    ca_file: "/etc/nats/bundle.pem",
    verify_and_map: true,
    handshake_first: true,
    min_version: "1.3",
    timeout: 10,
  });
});

test("the control plane's own namespace gives no sidecars", () => {
  const users = sidecarUsers(configure([{ namespace: "nginx-mesh", name: "nginx-mesh-controller" }]));
  assert.deepEqual(users, []);
});

const unsafe = [
  { namespace: "*", name: "cart" },
  { namespace: "shop", name: ">" },
  { namespace: "shop", name: "" },
  { namespace: "", name: "cart" },
  { namespace: "shop.web", name: "cart" },
  { namespace: "shop", name: "cart_v2" },
  { namespace: "shop", name: "cart/../web" },
  { namespace: "shop", name: "Cart" },
  { namespace: "shop", name: '"' },
];

for (const account of unsafe) {
  test(`the service account ${account.namespace}/${account.name} is refused`, () => {
    assert.throws(() => configure([account]), { name: "NatsConfigurationError" });
  });
}

test("a trust domain that is none is refused", () => {
  assert.throws(() => configure([], "example.org/ns"), { name: "SpiffeIdError" });
});

const name = fc.stringMatching(/^[a-z0-9-]{1,8}$/);
const accounts = fc.array(fc.record({ namespace: name, name }), { maxLength: 20 });

test("order and repetition of the service accounts do not matter, and no two users share a subject", () => {
  fc.assert(
    fc.property(accounts, (list) => {
      const configuration = configure(list);
      assert.equal(configure([...list].reverse()), configuration);
      assert.equal(configure([...list, ...list]), configuration);
      const own = sidecarUsers(configuration).map((user) => user.permissions.publish.allow[1]);
      assert.equal(new Set(own).size, own.length);
    }),
  );
});
