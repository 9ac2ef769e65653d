{{/*
The authority above SPIRE's, for server.conf. What is secret is in the Secret spire-upstream-authority: files of it are mounted
at /run/spire/upstream, the rest are environment variables, which SPIRE itself reads or -expandEnv puts in.
*/}}

{{- define "mesh.upstreamAuthority" -}}
{{- with .Values.mtls.upstreamAuthority }}
{{- with .disk }}
UpstreamAuthority "disk" {
  plugin_data {
    cert_file_path = "/run/spire/upstream/cert.pem"
    key_file_path = "/run/spire/upstream/key.pem"
    {{- if .bundle }}
    bundle_file_path = "/run/spire/upstream/bundle.pem"
    {{- end }}
  }
}
{{- end }}
{{- with .awsPCA }}
UpstreamAuthority "aws_pca" {
  plugin_data {
    region = {{ .region | quote }}
    certificate_authority_arn = {{ .certificateAuthorityArn | quote }}
    {{- include "mesh.hclOptional" (list . "caSigningTemplateArn" "ca_signing_template_arn") }}
    {{- include "mesh.hclOptional" (list . "signingAlgorithm" "signing_algorithm") }}
    {{- include "mesh.hclOptional" (list . "assumeRoleArn" "assume_role_arn") }}
    {{- include "mesh.hclOptional" (list . "endpoint" "endpoint") }}
    {{- if .supplementalBundle }}
    supplemental_bundle_path = "/run/spire/upstream/bundle.pem"
    {{- end }}
  }
}
{{- end }}
{{- with .awsSecret }}
UpstreamAuthority "awssecret" {
  plugin_data {
    region = {{ .region | quote }}
    cert_file_arn = {{ .certFileArn | quote }}
    key_file_arn = {{ .keyFileArn | quote }}
    {{- if .awsAccessKeyID }}
    access_key_id = "${UPSTREAM_AWS_ACCESS_KEY_ID}"
    {{- end }}
    {{- if .awsSecretKeyID }}
    secret_access_key = "${UPSTREAM_AWS_SECRET_ACCESS_KEY}"
    {{- end }}
    {{- if .awsSecretToken }}
    secret_token = "${UPSTREAM_AWS_SECRET_TOKEN}"
    {{- end }}
    {{- include "mesh.hclOptional" (list . "assumeRoleArn" "assume_role_arn") }}
  }
}
{{- end }}
{{- with .vault }}
UpstreamAuthority "vault" {
  plugin_data {
    vault_addr = {{ .vaultAddr | quote }}
    {{- include "mesh.hclOptional" (list . "namespace" "namespace") }}
    pki_mount_point = {{ .pkiMountPoint | default "pki" | quote }}
    insecure_skip_verify = {{ .insecureSkipVerify | default false }}
    {{- if .caCert }}
    ca_cert_path = "/run/spire/upstream/ca.pem"
    {{- end }}
    {{- with .certAuth }}
    cert_auth {
      cert_auth_mount_point = {{ .certAuthMountPoint | default "cert" | quote }}
      {{- with .certAuthRoleName }}
      cert_auth_role_name = {{ . | quote }}
      {{- end }}
      client_cert_path = "/run/spire/upstream/client.pem"
      client_key_path = "/run/spire/upstream/client-key.pem"
    }
    {{- end }}
    {{- with .tokenAuth }}
    token_auth {
      token = "${UPSTREAM_VAULT_TOKEN}"
    }
    {{- end }}
    {{- with .approleAuth }}
    approle_auth {
      approle_auth_mount_point = {{ .approleAuthMountPoint | default "approle" | quote }}
      approle_id = {{ .approleID | quote }}
      approle_secret_id = "${UPSTREAM_VAULT_APPROLE_SECRET_ID}"
    }
    {{- end }}
  }
}
{{- end }}
{{- with .certManager }}
UpstreamAuthority "cert-manager" {
  plugin_data {
    namespace = {{ .namespace | quote }}
    issuer_name = {{ .issuerName | quote }}
    issuer_kind = {{ .issuerKind | default "Issuer" | quote }}
    issuer_group = {{ .issuerGroup | default "cert-manager.io" | quote }}
    {{- if .kubeConfig }}
    kube_config_file = "/run/spire/upstream/kubeconfig"
    {{- end }}
  }
}
{{- end }}
{{- end }}
{{- end }}

{{/* A field of a plugin that may be left out: the values, the field there, the plugin's name of it. */}}
{{- define "mesh.hclOptional" -}}
{{- with index (index . 0) (index . 1) }}
    {{ index $ 2 }} = {{ . | quote }}
{{- end }}
{{- end }}

{{/* Files of the Secret, as JSON: name → content. */}}
{{- define "mesh.upstreamFiles" -}}
{{- $files := dict }}
{{- with .Values.mtls.upstreamAuthority }}
{{- with .disk }}
{{- $files = dict "cert.pem" .cert "key.pem" .key "bundle.pem" .bundle }}
{{- end }}
{{- with .awsPCA }}
{{- $files = dict "bundle.pem" .supplementalBundle }}
{{- end }}
{{- with .vault }}
{{- $files = dict "ca.pem" .caCert }}
{{- with .certAuth }}
{{- $files = merge $files (dict "client.pem" .clientCert "client-key.pem" .clientKey) }}
{{- end }}
{{- end }}
{{- with .certManager }}
{{- $files = dict "kubeconfig" .kubeConfig }}
{{- end }}
{{- end }}
{{- include "mesh.onlyFilled" $files }}
{{- end }}

{{/* Environment variables of the Secret, as JSON: name → value. */}}
{{- define "mesh.upstreamEnvironment" -}}
{{- $variables := dict }}
{{- with .Values.mtls.upstreamAuthority }}
{{- with .awsPCA }}
{{- $variables = dict "AWS_ACCESS_KEY_ID" .awsAccessKeyID "AWS_SECRET_ACCESS_KEY" .awsSecretAccessKey }}
{{- end }}
{{- with .awsSecret }}
{{- $variables = dict "UPSTREAM_AWS_ACCESS_KEY_ID" .awsAccessKeyID "UPSTREAM_AWS_SECRET_ACCESS_KEY" .awsSecretKeyID "UPSTREAM_AWS_SECRET_TOKEN" .awsSecretToken }}
{{- end }}
{{- with .vault }}
{{- with .tokenAuth }}
{{- $variables = dict "UPSTREAM_VAULT_TOKEN" .token }}
{{- end }}
{{- with .approleAuth }}
{{- $variables = dict "UPSTREAM_VAULT_APPROLE_SECRET_ID" .approleSecretID }}
{{- end }}
{{- end }}
{{- end }}
{{- include "mesh.onlyFilled" $variables }}
{{- end }}

{{- define "mesh.onlyFilled" -}}
{{- $filled := dict }}
{{- range $name, $value := . }}
{{- if $value }}
{{- $filled = merge $filled (dict $name $value) }}
{{- end }}
{{- end }}
{{- toJson $filled }}
{{- end }}
