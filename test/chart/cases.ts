/** Values that the chart must render, each the smallest that shows one thing. */
const pem = (name: string): string => `-----BEGIN ${name}-----\nAAAA\n-----END ${name}-----\n`;
const upstream = (upstreamAuthority: object): object => ({ mtls: { upstreamAuthority } });

export const cases: Readonly<Record<string, object>> = {
  defaults: {},
  "everything from one registry": {
    registry: {
      server: "registry.example.com/mesh/",
      imageTag: "9.9.9",
      username: "user",
      password: "hidden",
      disablePublicImages: true,
      imagePullPolicy: "Always",
    },
  },
  "a Google registry": { registry: { server: "gcr.io/project", key: '{"type":"service_account"}' } },
  strict: { mtls: { mode: "strict" }, accessControlMode: "deny" },
  off: { mtls: { mode: "off" } },
  "nothing kept": { mtls: { persistentStorage: "off", spireServerKeyManager: "memory" } },
  "a class of storage": { spire: { server: { storageClassName: "fast", storage: "5Gi" } } },
  tracing: {
    telemetry: { samplerRatio: 0.5, exporters: { otlp: { host: "collector.observability", port: 4317 } } },
  },
  "no tracing, as Rancher's form says it": { telemetry: { exporters: { otlp: { host: "", port: 4317 } } } },
  "settings that change while it runs": {
    nginxErrorLogLevel: "debug",
    nginxLogFormat: "json",
    nginxLBMethod: "random two least_time=last_byte",
    clientMaxBodySize: "0",
    prometheusAddress: "prometheus.monitoring:9090",
  },
  openshift: { environment: "openshift" },
  "openshift with hostPath": { environment: "openshift", spire: { workloadAPI: "hostPath" } },
  "the CSI driver": { spire: { workloadAPI: "csi" } },
  IPv6: { ipv6: true },
  replicas: { controller: { replicas: 3 } },
  "less of everything": {
    networkPolicies: { enabled: false },
    metricsAPI: { enabled: false },
    priorityClassName: "system-cluster-critical",
  },
  "placed by hand": {
    nodeSelector: { "node-role.kubernetes.io/infra": "" },
    tolerations: [{ key: "infra", operator: "Exists" }],
    images: { nats: "registry.example.com/nats@sha256:0000", controller: "example/controller:1" },
  },
  "upstream disk": upstream({
    disk: { cert: pem("CERTIFICATE"), key: pem("PRIVATE KEY"), bundle: pem("CERTIFICATE") },
  }),
  "upstream awsPCA": upstream({
    awsPCA: {
      region: "eu-central-1",
      certificateAuthorityArn: "arn:aws:acm-pca:eu-central-1:123456789012:certificate-authority/a",
      awsAccessKeyID: "AKIA",
      awsSecretAccessKey: "hidden",
      caSigningTemplateArn: "arn:aws:acm-pca:::template/SubordinateCACertificate_PathLen0/V1",
      signingAlgorithm: "SHA256WITHECDSA",
      assumeRoleArn: "arn:aws:iam::123456789012:role/mesh",
      endpoint: "https://pca.example.com",
      supplementalBundle: pem("CERTIFICATE"),
    },
  }),
  "upstream awsSecret": upstream({
    awsSecret: {
      region: "eu-central-1",
      certFileArn: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cert",
      keyFileArn: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key",
      awsAccessKeyID: "AKIA",
      awsSecretKeyID: "hidden",
      awsSecretToken: "hidden",
      assumeRoleArn: "arn:aws:iam::123456789012:role/mesh",
    },
  }),
  "upstream vault by certificate": upstream({
    vault: {
      vaultAddr: "https://vault.example.com",
      namespace: "team",
      caCert: pem("CERTIFICATE"),
      pkiMountPoint: "mesh-pki",
      certAuth: {
        clientCert: pem("CERTIFICATE"),
        clientKey: pem("PRIVATE KEY"),
        certAuthMountPoint: "mesh-cert",
        certAuthRoleName: "mesh",
      },
    },
  }),
  "upstream vault by token": upstream({
    vault: {
      vaultAddr: "https://vault.example.com",
      caCert: pem("CERTIFICATE"),
      tokenAuth: { token: "hidden" },
    },
  }),
  "upstream vault by approle": upstream({
    vault: {
      vaultAddr: "https://vault.example.com",
      insecureSkipVerify: true,
      approleAuth: {
        approleID: "role",
        approleSecretID: "hidden",
        approleAuthMountPoint: "mesh-approle",
      },
    },
  }),
  "upstream certManager": upstream({
    certManager: {
      namespace: "cert-manager",
      issuerName: "mesh",
      issuerKind: "ClusterIssuer",
      issuerGroup: "cert-manager.io",
    },
  }),
  "upstream certManager elsewhere": upstream({
    certManager: { namespace: "cert-manager", issuerName: "mesh", kubeConfig: "apiVersion: v1\n" },
  }),
};

/** Values that must be refused, and what the reader learns. */
export const refusals: readonly (readonly [object, RegExp])[] = [
  [{ mtls: { mode: "on" } }, /\/mtls\/mode.*'off', 'permissive', 'strict'/],
  [{ mtls: { caTTL: "23h" } }, /\/mtls\/caTTL.*does not match pattern/],
  [{ mtls: { svidTTL: "1d" } }, /\/mtls\/svidTTL.*does not match pattern/],
  [{ mtls: { caKeyType: "rsa-1024" } }, /\/mtls\/caKeyType.*'ec-p256', 'ec-p384', 'rsa-2048', 'rsa-4096'/],
  [{ mtls: { trustDomain: "Example.Org" } }, /\/mtls\/trustDomain.*does not match pattern/],
  [
    { mtls: { persistentStorage: false } },
    /\/mtls\/persistentStorage.*(got boolean, want string|'on', 'off')/,
  ],
  [{ mtls: { spireServerKeyManager: "cloud" } }, /\/mtls\/spireServerKeyManager.*'disk', 'memory'/],
  [
    { mtls: { upstreamAuthority: { vault: { vaultAddr: "x" } } } },
    /upstreamAuthority\/vault.*'?oneOf'? failed/,
  ],
  [
    { mtls: { upstreamAuthority: { disk: { cert: "a" } } } },
    /upstreamAuthority\/disk.*missing property 'key'/,
  ],
  [{ mtls: { upstreamAuthority: { disk: { cert: "a.pem", key: "b.pem" } } } }, /disk\.cert is not PEM/],
  [
    {
      mtls: {
        upstreamAuthority: {
          awsPCA: { region: "r", certificateAuthorityArn: "a" },
          certManager: { namespace: "n", issuerName: "i" },
        },
      },
    },
    /\/mtls\/upstreamAuthority.*maxProperties/,
  ],
  [{ mtls: { upstreamAuthority: { aws_pca: {} } } }, /additional properties 'aws_pca' not allowed/],
  [{ registry: { key: "k", username: "u", password: "p", server: "s" } }, /only one way to log in/],
  [
    { registry: { username: "u", server: "s" } },
    /registry\.username and registry\.password are needed together/,
  ],
  [{ registry: { key: "k" } }, /registry\.server does not say/],
  [{ registry: { disablePublicImages: true } }, /registry\.server does not say/],
  [
    { registry: { imagePullPolicy: "Sometimes" } },
    /\/registry\/imagePullPolicy.*'Always', 'IfNotPresent', 'Never'/,
  ],
  [{ accessControlMode: "maybe" }, /\/accessControlMode.*'allow', 'deny'/],
  [{ environment: "nomad" }, /\/environment.*'kubernetes', 'openshift'/],
  [{ enableUDP: "yes" }, /\/enableUDP.*got string, want boolean/],
  [{ nginxErrorLogLevel: "loud" }, /\/nginxErrorLogLevel.*'debug'/],
  [{ nginxLogFormat: "xml" }, /\/nginxLogFormat.*'default', 'json'/],
  [{ nginxLBMethod: "best" }, /\/nginxLBMethod.*'least_time'/],
  [{ clientMaxBodySize: "1 GB" }, /\/clientMaxBodySize.*does not match pattern/],
  [{ clientMaxBodySize: -1 }, /\/clientMaxBodySize.*minimum: got -1, want 0/],
  [{ clientMaxBodySize: 1.5 }, /\/clientMaxBodySize.*got number, want integer or string/],
  [{ prometheusAddress: "http://prometheus" }, /\/prometheusAddress.*does not match pattern/],
  [{ telemetry: { samplerRatio: 0.1 } }, /\/telemetry.*'exporters' required/],
  [
    { telemetry: { samplerRatio: 2, exporters: { otlp: { host: "h" } } } },
    /samplerRatio.*maximum: got 2, want 1/,
  ],
  [{ telemetry: { exporters: { zipkin: {} } } }, /\/telemetry\/exporters/],
  [{ controller: { replicas: 0 } }, /\/controller\/replicas.*minimum/],
  [{ webhook: { failurePolicy: "Retry" } }, /\/webhook\/failurePolicy.*'Fail', 'Ignore'/],
  [{ mtl: { mode: "strict" } }, /additional properties 'mtl' not allowed/],
];
