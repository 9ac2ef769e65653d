{{/* The MeshConfig's spec as the values have it, as JSON. */}}
{{- define "mesh.settings" -}}
{{- $settings := dict
  "meshConfigClassName" (printf "%s-meshconfig-class" .Release.Namespace)
  "accessControlMode" .Values.accessControlMode
  "clientMaxBodySize" .Values.clientMaxBodySize
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
What users changed while the mesh ran stays, unless the values change it, too. Helm 3 does that by itself; Helm 4 applies on the
server, which refuses to set a field that somebody else has set to something else. What was installed before is in the ConfigMap.
*/}}
{{- define "mesh.keptSettings" -}}
{{- $wanted := include "mesh.settings" . | fromJson }}
{{- $installed := lookup "v1" "ConfigMap" .Release.Namespace "meshconfig" }}
{{- $before := dig "data" "mesh-config.conf" "{}" ($installed | default dict) | fromJson | dig "settings" dict }}
{{- $now := dict }}
{{- if .Capabilities.APIVersions.Has "nsm.nginx.com/v1alpha2" }}
{{- $now = dig "spec" dict (lookup "nsm.nginx.com/v1alpha2" "MeshConfig" .Release.Namespace "nginx-mesh-config" | default dict) }}
{{- end }}
{{- include "mesh.keep" (list $wanted $before $now) }}
{{- end }}

{{/* Three tables: as wanted, as wanted before, as it is now. */}}
{{- define "mesh.keep" -}}
{{- $before := index . 1 }}
{{- $now := index . 2 }}
{{- $kept := dict }}
{{- range $name, $wanted := index . 0 }}
{{- if kindIs "map" $wanted }}
{{- $_ := set $kept $name (include "mesh.keep" (list $wanted (get $before $name | default dict) (get $now $name | default dict)) | fromJson) }}
{{- else if and (hasKey $before $name) (hasKey $now $name) (eq (toJson $wanted) (toJson (get $before $name))) }}
{{- $_ := set $kept $name (get $now $name) }}
{{- else }}
{{- $_ := set $kept $name $wanted }}
{{- end }}
{{- end }}
{{- toJson $kept }}
{{- end }}
