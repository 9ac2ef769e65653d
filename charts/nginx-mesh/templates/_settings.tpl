{{/* The MeshConfig's spec as the values have it, as JSON. */}}
{{- define "mesh.settings" -}}
{{- $bodySize := .Values.clientMaxBodySize }}
{{- if not (kindIs "string" $bodySize) }}
{{- /* as --set gives it; a file's numbers are floating ones */}}
{{- $bodySize = $bodySize | int64 | toString }}
{{- end }}
{{- $settings := dict
  "meshConfigClassName" (printf "%s-meshconfig-class" .Release.Namespace)
  "accessControlMode" .Values.accessControlMode
  "clientMaxBodySize" $bodySize
  "mtls" (pick .Values.mtls "mode" "caKeyType" "caTTL" "svidTTL")
  "nginxErrorLogLevel" .Values.nginxErrorLogLevel
  "nginxLBMethod" .Values.nginxLBMethod
  "nginxLogFormat" .Values.nginxLogFormat
  "prometheusAddress" .Values.prometheusAddress }}
{{- with .Values.telemetry }}
{{- /* Rancher's form sends an empty host for none */}}
{{- if .exporters.otlp.host }}
{{- $otlp := dict "host" .exporters.otlp.host "port" (.exporters.otlp.port | default 4317 | int) }}
{{- /* 0 is a ratio, too */}}
{{- $ratio := ternary .samplerRatio 0.01 (hasKey . "samplerRatio") | float64 }}
{{- $_ := set $settings "telemetry" (dict "exporters" (dict "otlp" $otlp) "samplerRatio" $ratio) }}
{{- end }}
{{- end }}
{{- toJson $settings }}
{{- end }}

{{/*
What users changed while the mesh ran stays, unless the values change it, too. Who sends patches, as Helm 3 does, changes only what differs
from the manifest before, so the manifest must not say more than the values; a rollback would take it back. Helm 4 applies on the server,
which refuses to set a field that somebody else has set to something else. What was wanted before is in an annotation: unlike another
object it is not written when the settings are refused.
*/}}
{{- define "mesh.keptSettings" -}}
{{- $wanted := include "mesh.settings" . | fromJson }}
{{- $live := dict }}
{{- if .Capabilities.APIVersions.Has "nsm.nginx.com/v1alpha2" }}
{{- $live = lookup "nsm.nginx.com/v1alpha2" "MeshConfig" .Release.Namespace "nginx-mesh-config" | default dict }}
{{- end }}
{{- if include "mesh.appliedOnServer" (list . $live) }}
{{- $before := dig "metadata" "annotations" "nsm.nginx.com/installed-settings" "{}" $live | fromJson }}
{{- include "mesh.keep" (list $wanted $before $live.spec) }}
{{- else }}
{{- toJson $wanted }}
{{- end }}
{{- end }}

{{/* Whether Helm will apply the object on the server, as it did before: Helm 4 goes on with patches where a release began with them. */}}
{{- define "mesh.appliedOnServer" -}}
{{- if semverCompare ">=4-0" (index . 0).Capabilities.HelmVersion.Version }}
{{- range dig "metadata" "managedFields" list (index . 1) }}
{{- $annotations := dig "f:metadata" "f:annotations" dict (.fieldsV1 | default dict) }}
{{- if and (eq .operation "Apply") (hasKey $annotations "f:meta.helm.sh/release-name") }}true{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Three tables: as wanted, as wanted before, as it is now. What was removed stays away. */}}
{{- define "mesh.keep" -}}
{{- $before := index . 1 }}
{{- $now := index . 2 }}
{{- $kept := dict }}
{{- range $name, $wanted := index . 0 }}
{{- $same := and (hasKey $before $name) (eq (toJson $wanted) (toJson (get $before $name))) }}
{{- if not (hasKey $now $name) }}
{{- if not $same }}
{{- $_ := set $kept $name $wanted }}
{{- end }}
{{- else if kindIs "map" $wanted }}
{{- $_ := set $kept $name (include "mesh.keep" (list $wanted (get $before $name | default dict) (get $now $name)) | fromJson) }}
{{- else }}
{{- $_ := set $kept $name (ternary (get $now $name) $wanted $same) }}
{{- end }}
{{- end }}
{{- toJson $kept }}
{{- end }}
