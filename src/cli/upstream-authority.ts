/** The file of `--mtls-upstream-ca-conf`: which authority signs the mesh's CA, in the fields of SPIRE's plugins. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

import { parse, YAMLParseError } from "yaml";
import * as z from "zod";

import { CommandError } from "./errors.ts";

const text = z.string().min(1);
/** A path of a file on this machine, whose content goes into the chart's values. */
const file = text;

const disk = z.strictObject({
  cert_file_path: file,
  key_file_path: file,
  bundle_file_path: file.optional(),
});

const awsPca = z.strictObject({
  region: text,
  certificate_authority_arn: text,
  aws_access_key_id: text.optional(),
  aws_secret_access_key: text.optional(),
  ca_signing_template_arn: text.optional(),
  signing_algorithm: text.optional(),
  assume_role_arn: text.optional(),
  endpoint: text.optional(),
  supplemental_bundle_path: file.optional(),
});

/** SPIRE calls the credentials access_key_id, secret_access_key and secret_token; files of NSM have a prefix. */
const awsSecret = z.strictObject({
  region: text,
  cert_file_arn: text,
  key_file_arn: text,
  access_key_id: text.optional(),
  secret_access_key: text.optional(),
  secret_token: text.optional(),
  aws_access_key_id: text.optional(),
  aws_secret_access_key: text.optional(),
  aws_secret_token: text.optional(),
  assume_role_arn: text.optional(),
});

const vault = z
  .strictObject({
    vault_addr: text,
    namespace: text.optional(),
    ca_cert_path: file.optional(),
    pki_mount_point: text.optional(),
    insecure_skip_verify: z.boolean().optional(),
    cert_auth: z
      .strictObject({
        client_cert_path: file,
        client_key_path: file,
        cert_auth_mount_point: text.optional(),
        cert_auth_role_name: text.optional(),
      })
      .optional(),
    token_auth: z.strictObject({ token: text }).optional(),
    approle_auth: z
      .strictObject({
        approle_id: text,
        approle_secret_id: text,
        approle_auth_mount_point: text.optional(),
      })
      .optional(),
  })
  .refine(
    (config) => [config.cert_auth, config.token_auth, config.approle_auth].filter(Boolean).length === 1,
    "exactly one of cert_auth, token_auth and approle_auth must be there",
  );

const certManager = z.strictObject({
  namespace: text,
  issuer_name: text,
  issuer_kind: text.optional(),
  issuer_group: text.optional(),
  kube_config_file: file.optional(),
});

const version = z.literal(["v1", 1]);
const schema = z.discriminatedUnion("upstreamAuthority", [
  z.strictObject({ apiVersion: version, upstreamAuthority: z.literal("disk"), config: disk }),
  z.strictObject({ apiVersion: version, upstreamAuthority: z.literal("aws_pca"), config: awsPca }),
  z.strictObject({ apiVersion: version, upstreamAuthority: z.literal("awssecret"), config: awsSecret }),
  z.strictObject({ apiVersion: version, upstreamAuthority: z.literal("vault"), config: vault }),
  z.strictObject({ apiVersion: version, upstreamAuthority: z.literal("cert-manager"), config: certManager }),
]);

type Authority = z.infer<typeof schema>;

/** Leaves out what is undefined. */
function defined(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

type Content = (path: string | undefined) => string | undefined;

/** The chart's `mtls.upstreamAuthority`. */
function valuesOf(authority: Authority, content: Content): Record<string, unknown> {
  switch (authority.upstreamAuthority) {
    case "disk": {
      const { cert_file_path, key_file_path, bundle_file_path } = authority.config;
      return {
        disk: defined({
          cert: content(cert_file_path),
          key: content(key_file_path),
          bundle: content(bundle_file_path),
        }),
      };
    }
    case "aws_pca":
      return { awsPCA: awsPcaValues(authority.config, content) };
    case "awssecret":
      return { awsSecret: awsSecretValues(authority.config) };
    case "vault":
      return { vault: vaultValues(authority.config, content) };
    case "cert-manager": {
      const { namespace, issuer_name, issuer_kind, issuer_group, kube_config_file } = authority.config;
      return {
        certManager: defined({
          namespace,
          issuerName: issuer_name,
          issuerKind: issuer_kind,
          issuerGroup: issuer_group,
          kubeConfig: content(kube_config_file),
        }),
      };
    }
    default:
      return authority satisfies never;
  }
}

function awsPcaValues(config: z.infer<typeof awsPca>, content: Content): Record<string, unknown> {
  return defined({
    region: config.region,
    certificateAuthorityArn: config.certificate_authority_arn,
    awsAccessKeyID: config.aws_access_key_id,
    awsSecretAccessKey: config.aws_secret_access_key,
    caSigningTemplateArn: config.ca_signing_template_arn,
    signingAlgorithm: config.signing_algorithm,
    assumeRoleArn: config.assume_role_arn,
    endpoint: config.endpoint,
    supplementalBundle: content(config.supplemental_bundle_path),
  });
}

/** The chart calls the secret access key awsSecretKeyID here, as NSM's did. */
function awsSecretValues(config: z.infer<typeof awsSecret>): Record<string, unknown> {
  return defined({
    region: config.region,
    certFileArn: config.cert_file_arn,
    keyFileArn: config.key_file_arn,
    awsAccessKeyID: config.access_key_id ?? config.aws_access_key_id,
    awsSecretKeyID: config.secret_access_key ?? config.aws_secret_access_key,
    awsSecretToken: config.secret_token ?? config.aws_secret_token,
    assumeRoleArn: config.assume_role_arn,
  });
}

function vaultValues(config: z.infer<typeof vault>, content: Content): Record<string, unknown> {
  const { cert_auth: cert, token_auth: token, approle_auth: approle } = config;
  return defined({
    vaultAddr: config.vault_addr,
    namespace: config.namespace,
    caCert: content(config.ca_cert_path),
    pkiMountPoint: config.pki_mount_point,
    insecureSkipVerify: config.insecure_skip_verify,
    certAuth:
      cert === undefined
        ? undefined
        : defined({
            clientCert: content(cert.client_cert_path),
            clientKey: content(cert.client_key_path),
            certAuthMountPoint: cert.cert_auth_mount_point,
            certAuthRoleName: cert.cert_auth_role_name,
          }),
    tokenAuth: token,
    approleAuth:
      approle === undefined
        ? undefined
        : defined({
            approleID: approle.approle_id,
            approleSecretID: approle.approle_secret_id,
            approleAuthMountPoint: approle.approle_auth_mount_point,
          }),
  });
}

/** The chart's `mtls.upstreamAuthority` for a file. Paths in it are relative to its folder. Throws CommandError. */
export function readUpstreamAuthority(path: string): Record<string, unknown> {
  const where = `--mtls-upstream-ca-conf ${path}`;
  const read = (name: string, what: string): string => {
    try {
      return readFileSync(name, "utf8");
    } catch (error) {
      throw new CommandError(`${where}: cannot read ${what}: ${(error as Error).message}`, { cause: error });
    }
  };
  let value: unknown;
  try {
    value = parse(read(path, "the file"));
  } catch (error) {
    if (error instanceof YAMLParseError) {
      throw new CommandError(`${where}: it is no YAML: ${error.message}`, { cause: error });
    }
    throw error;
  }
  const result = schema.safeParse(value);
  if (!result.success) {
    throw new CommandError(`${where} is not as it must be:\n${z.prettifyError(result.error)}`, {
      cause: result.error,
    });
  }
  return valuesOf(result.data, (name) =>
    name === undefined ? undefined : read(resolve(dirname(path), name), name),
  );
}
