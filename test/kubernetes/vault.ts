/** A Vault in the cluster, with an authority in its PKI engine that SPIRE's server may let sign: what an operator sets up. */
import { readFileSync } from "node:fs";
import { selfSigned } from "./certificates.ts";
import { type Namespace, vaultImage } from "./fixture.ts";

export interface Vault {
  /** URL for SPIRE's server. */
  readonly address: string;
  /** File with the PEM of the authority of Vault's own TLS certificate. */
  readonly certificateAuthority: string;
  readonly roleId: string;
  readonly secretId: string;
  /** PEM of the root in the PKI engine. */
  readonly root: string;
}

/** Beside the listener with TLS there is one for the pod itself, where its operator works. */
const configuration = `
listener "tcp" {
  address = "0.0.0.0:8200"
  tls_cert_file = "/vault-files/certificate.pem"
  tls_key_file = "/vault-files/key.pem"
}
`;
const server = [
  "server",
  "-dev",
  "-dev-root-token-id=root",
  "-dev-no-store-token",
  "-dev-listen-address=127.0.0.1:8210",
  "-config=/vault-files/vault.hcl",
];

/** What SPIRE documents as needed: to let an intermediate authority be signed, and nothing else. */
const policy = 'path "pki/root/sign-intermediate" { capabilities = ["update"] }';

function objects(files: Readonly<Record<string, string>>): readonly object[] {
  const labels = { app: "vault" };
  const container = {
    name: "vault",
    image: vaultImage,
    args: server,
    env: [
      { name: "HOME", value: "/tmp" },
      { name: "VAULT_ADDR", value: "http://127.0.0.1:8210" },
      { name: "VAULT_TOKEN", value: "root" },
    ],
    readinessProbe: { httpGet: { path: "/v1/sys/health", port: 8200, scheme: "HTTPS" }, periodSeconds: 1 },
    volumeMounts: [
      { name: "files", mountPath: "/vault-files" },
      { name: "tmp", mountPath: "/tmp" },
    ],
  };
  const volumes = [
    { name: "files", secret: { secretName: "vault" } },
    { name: "tmp", emptyDir: {} },
  ];
  return [
    { apiVersion: "v1", kind: "Secret", metadata: { name: "vault" }, stringData: files },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "vault" },
      spec: { selector: labels, ports: [{ port: 8200 }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "vault" },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container], volumes } },
      },
    },
  ];
}

/** Starts it in the namespace. `folder`: where files of its certificate are made. */
export async function startVault(namespace: Namespace, folder: string): Promise<Vault> {
  const host = `vault.${namespace.name}.svc`;
  const { certificate, key } = await selfSigned(folder, "vault", `/CN=${host}`, `subjectAltName=DNS:${host}`);
  const files = {
    "vault.hcl": configuration,
    "certificate.pem": readFileSync(certificate, "utf8"),
    "key.pem": readFileSync(key, "utf8"),
  };
  await namespace.apply(...objects(files));
  await namespace.ready("deployment/vault");
  const vault = async (...command: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await namespace.exec("app=vault", "vault", "/vault", ...command);
    if (status !== 0) {
      throw new Error(`vault ${command.join(" ")}: ${stderr}`);
    }
    return stdout.trim();
  };
  await vault("secrets", "enable", "-max-lease-ttl=720h", "pki");
  await vault("write", "pki/root/generate/internal", "common_name=Test root of Vault", "ttl=720h");
  await vault("write", "sys/policies/acl/spire", `policy=${policy}`);
  await vault("auth", "enable", "approle");
  const role = "auth/approle/role/spire";
  await vault("write", role, "token_policies=spire", "token_ttl=1h");
  return {
    address: `https://${host}:8200`,
    certificateAuthority: certificate,
    roleId: await vault("read", "-field=role_id", `${role}/role-id`),
    secretId: await vault("write", "-force", "-field=secret_id", `${role}/secret-id`),
    root: await vault("read", "-field=certificate", "pki/cert/ca"),
  };
}
