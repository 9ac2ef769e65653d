/** Certificates of the control plane and the kubelets: one authority for the cluster, one for the aggregation layer. */

// @peculiar/x509 finds its parts through this polyfill and does not load without it.
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clusterDomain, type Plan } from "./plan.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const lifetimeMilliseconds = 365 * 86_400_000;

interface Authority {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

interface Leaf {
  readonly file: string;
  readonly commonName: string;
  readonly organization?: string;
  /** Names and addresses of a server; none for what is only a client. */
  readonly names?: readonly string[];
}

/** The user of each part, as Kubernetes' own roles know it, by the name of its certificate's file. */
function leaves(plan: Plan): readonly Leaf[] {
  const kubernetes = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  return [
    {
      file: "kube-apiserver",
      commonName: "kube-apiserver",
      names: [
        ...kubernetes,
        `kubernetes.default.svc.${clusterDomain}`,
        plan.plane,
        plan.plane6,
        plan.kubernetesService,
        "127.0.0.1",
      ],
    },
    { file: "kubelet-client", commonName: "kube-apiserver-kubelet-client", organization: "system:masters" },
    { file: "admin", commonName: "testbed-admin", organization: "system:masters" },
    { file: "kube-controller-manager", commonName: "system:kube-controller-manager" },
    { file: "kube-scheduler", commonName: "system:kube-scheduler" },
    { file: "kube-proxy", commonName: "system:kube-proxy" },
    ...plan.nodes.map((node) => ({
      file: node.name,
      commonName: `system:node:${node.name}`,
      organization: "system:nodes",
      names: [node.name, node.address, node.address6],
    })),
  ];
}

/** Writes NAME.crt and NAME.key for each part, ca.crt, front-proxy-ca.crt, and the pair that signs service accounts' tokens. */
export async function writeCertificates(folder: string, plan: Plan): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authority = await writeAuthority(folder, "ca", "kubernetes");
  const frontProxy = await writeAuthority(folder, "front-proxy-ca", "front-proxy-ca");
  await Promise.all(leaves(plan).map((leaf) => writeLeaf(folder, authority, leaf)));
  await writeLeaf(folder, frontProxy, { file: "front-proxy", commonName: "front-proxy" });
  const tokens = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  await writeKey(join(folder, "service-accounts.key"), tokens);
  const publicKey = await webcrypto.subtle.exportKey("spki", tokens.publicKey);
  writeFileSync(join(folder, "service-accounts.pub"), pem("PUBLIC KEY", publicKey));
}

const serial = (): string => `1${randomBytes(15).toString("hex")}`;
const validity = () => ({
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + lifetimeMilliseconds),
});

async function writeAuthority(folder: string, file: string, commonName: string): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [commonName] }],
    ...validity(),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(
        KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature,
        true,
      ),
    ],
  });
  writeFileSync(join(folder, `${file}.crt`), certificate.toString("pem"));
  await writeKey(join(folder, `${file}.key`), keys);
  return { certificate, keys };
}

async function writeLeaf(folder: string, authority: Authority, leaf: Leaf): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const names = leaf.names ?? [];
  const organization = leaf.organization === undefined ? [] : [{ O: [leaf.organization] }];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [...organization, { CN: [leaf.commonName] }],
    issuer: authority.certificate.subjectName,
    ...validity(),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: authority.keys.privateKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      ...(names.length === 0
        ? []
        : [
            new SubjectAlternativeNameExtension(
              names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
            ),
          ]),
    ],
  });
  writeFileSync(join(folder, `${leaf.file}.crt`), certificate.toString("pem"));
  await writeKey(join(folder, `${leaf.file}.key`), keys);
}

async function writeKey(file: string, keys: webcrypto.CryptoKeyPair): Promise<void> {
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  writeFileSync(file, pem("PRIVATE KEY", key), { mode: 0o600 });
}

function pem(label: string, content: ArrayBuffer): string {
  const lines = Buffer.from(content)
    .toString("base64")
    .match(/.{1,64}/g);
  return `-----BEGIN ${label}-----\n${(lines ?? []).join("\n")}\n-----END ${label}-----\n`;
}
