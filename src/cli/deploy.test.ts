import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Command } from "commander";

import { deployFlags } from "./deploy-flags.ts";
import { deployValues, replacing } from "./deploy-values.ts";
import { readUpstreamAuthority } from "./upstream-authority.ts";

const folder = mkdtempSync(join(tmpdir(), "deploy-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The values of a command line; throws with what commander says. */
function valuesOf(args: readonly string[]): unknown {
  const command = new Command("deploy").exitOverride().configureOutput({ writeErr: () => undefined });
  deployFlags.forEach(({ option }) => command.addOption(option));
  command.parse(args, { from: "user" });
  return deployValues(command.opts(), undefined);
}

const key = file("key.json", '{"private_key": "x"}');
const ca = file("ca.crt", "CERT");
file("ca.key", "KEY");
const authority = file(
  "disk.yaml",
  "apiVersion: v1\nupstreamAuthority: disk\nconfig:\n  cert_file_path: ca.crt\n  key_file_path: ca.key\n",
);

/** Every flag of the interface, with a value that is not its default. */
const flags: readonly (readonly [readonly string[], unknown])[] = [
  [["--access-control-mode", "deny"], { accessControlMode: "deny" }],
  [["--client-max-body-size", "64k"], { clientMaxBodySize: "64k" }],
  [["--disable-public-images"], { registry: { disablePublicImages: true } }],
  [["--enable-udp"], { enableUDP: true }],
  [["--environment", "openshift"], { environment: "openshift" }],
  [["--image-tag", "1.2.3-rc.1"], { registry: { imageTag: "1.2.3-rc.1" } }],
  [["--mtls-ca-key-type", "rsa-4096"], { mtls: { caKeyType: "rsa-4096" } }],
  [["--mtls-ca-ttl", "24h"], { mtls: { caTTL: "24h" } }],
  [["--mtls-mode", "strict"], { mtls: { mode: "strict" } }],
  [["--mtls-svid-ttl", "30m"], { mtls: { svidTTL: "30m" } }],
  [["--mtls-trust-domain", "mesh.test"], { mtls: { trustDomain: "mesh.test" } }],
  [
    ["--mtls-upstream-ca-conf", authority],
    { mtls: { upstreamAuthority: { disk: { cert: "CERT", key: "KEY" } } } },
  ],
  [["--nginx-error-log-level", "debug"], { nginxErrorLogLevel: "debug" }],
  [["--nginx-lb-method", "random two least_conn"], { nginxLBMethod: "random two least_conn" }],
  [["--nginx-log-format", "json"], { nginxLogFormat: "json" }],
  // what it comes to depends on the cluster
  [["--persistent-storage", "off"], {}],
  [
    ["--prometheus-address", "prometheus.monitoring:9090"],
    { prometheusAddress: "prometheus.monitoring:9090" },
  ],
  // the other way to log in, which an installed mesh may have, is taken away
  [["--registry-key", key], { registry: { key: '{"private_key": "x"}', username: "", password: "" } }],
  [
    ["--registry-username", "u", "--registry-password", "p"],
    { registry: { username: "u", password: "p", key: "" } },
  ],
  [["--registry-server", "registry.test:5000/mesh"], { registry: { server: "registry.test:5000/mesh" } }],
  [["--spire-server-key-manager", "memory"], { mtls: { spireServerKeyManager: "memory" } }],
  [
    ["--telemetry-exporters", "type=otlp,host=collector.obs.svc,port=4317"],
    { telemetry: { exporters: { otlp: { host: "collector.obs.svc", port: 4317 } } } },
  ],
  [["--telemetry-sampler-ratio", "0.5"], { telemetry: { samplerRatio: 0.5 } }],
];

test("every flag comes to be a value of the chart, and nothing else does", () => {
  for (const [args, expected] of flags) {
    assert.deepEqual(valuesOf(args), expected, args.join(" "));
  }
  assert.deepEqual(valuesOf([]), {});
  const tested = new Set(flags.flatMap(([args]) => args.filter((arg) => arg.startsWith("--"))));
  assert.deepEqual(
    deployFlags.map(({ option }) => option.long).filter((long) => !tested.has(long ?? "")),
    [],
  );
});

test("an exporter that is given twice", () => {
  const args = ["--telemetry-exporters", "type=otlp,host=h,port=1"];
  assert.deepEqual(valuesOf([...args, ...args]), {
    telemetry: { exporters: { otlp: { host: "h", port: 1 } } },
  });
});

test("what helm gets to replace a table", () => {
  const before = { vault: { vaultAddr: "u", caCert: "c", tokenAuth: { token: "t" } } };
  const vault = { vaultAddr: "v", approleAuth: { approleID: "i" } };
  assert.deepEqual(replacing(before, { vault }), { vault: { ...vault, caCert: null, tokenAuth: null } });
  const disk = { cert: "c", key: "k" };
  assert.deepEqual(replacing(before, { disk }), { disk, vault: null });
  assert.deepEqual(replacing(undefined, { disk }), { disk });
});

test("flags together", () => {
  assert.deepEqual(valuesOf(["--mtls-mode", "strict", "--mtls-ca-ttl", "48h", "--image-tag", "1"]), {
    mtls: { mode: "strict", caTTL: "48h" },
    registry: { imageTag: "1" },
  });
  assert.deepEqual(deployValues({}, "off"), { mtls: { persistentStorage: "off" } });
});

const wrong: readonly (readonly [readonly string[], RegExp])[] = [
  [["--access-control-mode", "maybe"], /Allowed choices are allow, deny/],
  [["--client-max-body-size", "10 MB"], /must be a size such as/],
  [["--mtls-ca-ttl", "23h"], /24h at least/],
  [["--mtls-ca-ttl", "30d"], /24h at least/],
  [["--mtls-svid-ttl", "30s"], /hours or minutes/],
  [["--mtls-trust-domain", "Example.org"], /trust domain/],
  [["--nginx-lb-method", "fastest"], /Allowed choices/],
  [["--prometheus-address", "http://p:9090"], /HOST:PORT/],
  [["--prometheus-address", "p"], /HOST:PORT/],
  [["--prometheus-address", "p:70000"], /HOST:PORT/],
  [["--registry-key", key, "--registry-username", "u"], /cannot be used with option/],
  [["--registry-username", "u"], /go together/],
  [["--registry-key", join(folder, "none")], /cannot read it: ENOENT/],
  [["--mtls-upstream-ca-conf", join(folder, "none")], /cannot read the file: ENOENT/],
  [["--telemetry-exporters", "type=zipkin,host=h,port=1"], /only otlp/],
  [["--telemetry-exporters", "type=otlp,host=h"], /type=otlp,host=HOST,port=PORT/],
  [["--telemetry-exporters", "type=otlp,host=h,port=1,tls=on"], /"tls" is not known/],
  [
    ["--telemetry-exporters", "type=otlp,host=h,port=1", "--telemetry-exporters", "type=otlp,host=i,port=1"],
    /traces go to one exporter, and h:1 was given before/,
  ],
  [["--telemetry-sampler-ratio", "1.5"], /from 0 to 1/],
  [["--telemetry-sampler-ratio", ""], /from 0 to 1/],
];

test("what is wrong with a flag is said", () => {
  for (const [args, message] of wrong) {
    assert.throws(() => valuesOf(args), message, args.join(" "));
  }
});

const authorities: readonly (readonly [string, string, unknown])[] = [
  [
    "aws_pca",
    "{region: r, certificate_authority_arn: a, aws_access_key_id: i, aws_secret_access_key: s, supplemental_bundle_path: ca.crt}",
    {
      awsPCA: {
        region: "r",
        certificateAuthorityArn: "a",
        awsAccessKeyID: "i",
        awsSecretAccessKey: "s",
        supplementalBundle: "CERT",
      },
    },
  ],
  [
    "awssecret",
    "{region: r, cert_file_arn: c, key_file_arn: k, access_key_id: i, aws_secret_access_key: s}",
    {
      awsSecret: { region: "r", certFileArn: "c", keyFileArn: "k", awsAccessKeyID: "i", awsSecretKeyID: "s" },
    },
  ],
  [
    "vault",
    "{vault_addr: u, ca_cert_path: ca.crt, cert_auth: {client_cert_path: ca.crt, client_key_path: ca.key}}",
    { vault: { vaultAddr: "u", caCert: "CERT", certAuth: { clientCert: "CERT", clientKey: "KEY" } } },
  ],
  [
    "vault",
    "{vault_addr: u, insecure_skip_verify: true, approle_auth: {approle_id: i, approle_secret_id: s}}",
    {
      vault: {
        vaultAddr: "u",
        insecureSkipVerify: true,
        approleAuth: { approleID: "i", approleSecretID: "s" },
      },
    },
  ],
  [
    "vault",
    "{vault_addr: u, token_auth: {token: t}}",
    { vault: { vaultAddr: "u", tokenAuth: { token: "t" } } },
  ],
  [
    "cert-manager",
    "{namespace: n, issuer_name: i, issuer_kind: ClusterIssuer, issuer_group: g}",
    { certManager: { namespace: "n", issuerName: "i", issuerKind: "ClusterIssuer", issuerGroup: "g" } },
  ],
];

test("upstream authorities", () => {
  for (const [name, config, expected] of authorities) {
    const path = file("upstream.yaml", `apiVersion: v1\nupstreamAuthority: ${name}\nconfig: ${config}\n`);
    assert.deepEqual(readUpstreamAuthority(path), expected, name);
  }
  assert.equal(readUpstreamAuthority(authority)["disk"] !== undefined, true);
  assert.ok(ca);
});

const wrongAuthorities: readonly (readonly [string, RegExp])[] = [
  ["a: [", /it is no YAML/],
  ["", /is not as it must be/],
  ["apiVersion: v1\nupstreamAuthority: gcp\nconfig: {}\n", /upstreamAuthority/],
  ["apiVersion: v2\nupstreamAuthority: disk\nconfig: {}\n", /apiVersion/],
  ["apiVersion: v1\nupstreamAuthority: disk\nconfig: {cert_file_path: a}\n", /config\.key_file_path/],
  [
    "apiVersion: v1\nupstreamAuthority: disk\nconfig: {cert_file_path: none, key_file_path: ca.key}\n",
    /cannot read .*none: ENOENT/,
  ],
  ["apiVersion: v1\nupstreamAuthority: disk\nconfig: {certfile: a}\n", /certfile/],
  ["apiVersion: v1\nupstreamAuthority: vault\nconfig: {vault_addr: u}\n", /exactly one of cert_auth/],
];

test("what is wrong with a file of an upstream authority is said", () => {
  for (const [text, message] of wrongAuthorities) {
    const path = file("wrong.yaml", text);
    assert.throws(() => readUpstreamAuthority(path), { name: "CommandError", message }, text);
  }
});
