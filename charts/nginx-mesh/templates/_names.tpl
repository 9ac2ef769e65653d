{{/* Names and labels. Objects have the fixed names of the interface; what is not in a namespace begins with that of the mesh. */}}

{{- define "mesh.selector" -}}
app.kubernetes.io/part-of: nginx-mesh
app.kubernetes.io/name: {{ . }}
{{- end }}

{{/* Call with the root and a name. */}}
{{- define "mesh.labels" -}}
{{- $root := index . 0 -}}
{{ include "mesh.selector" (index . 1) }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mesh.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "mesh.labels" . | nindent 2 }}
{{- end }}

{{/* Of an object that is in no namespace: its name is that of the mesh and the one that is given. */}}
{{- define "mesh.clusterMetadata" -}}
{{- $root := index . 0 -}}
name: {{ $root.Release.Namespace }}-{{ index . 1 }}
labels:
  {{- include "mesh.labels" . | nindent 2 }}
{{- end }}

{{- define "mesh.subject" -}}
{{- $root := index . 0 -}}
- kind: ServiceAccount
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}

{{- define "mesh.natsAddress" -}}
nats-server.{{ .Release.Namespace }}.svc:4222
{{- end }}

{{- define "mesh.openshift" -}}
{{- if eq .Values.environment "openshift" }}yes{{ end }}
{{- end }}

{{/* hostPath or csi. */}}
{{- define "mesh.workloadAPI" -}}
{{- if ne .Values.spire.workloadAPI "auto" -}}
{{ .Values.spire.workloadAPI }}
{{- else -}}
{{ ternary "csi" "hostPath" (eq .Values.environment "openshift") }}
{{- end }}
{{- end }}

{{/* native or classic. */}}
{{- define "mesh.sidecarOrder" -}}
{{- if ne .Values.sidecar.order "auto" -}}
{{ .Values.sidecar.order }}
{{- else -}}
{{ ternary "native" "classic" (semverCompare ">=1.29-0" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- end }}

{{- define "mesh.priorityClassName" -}}
{{- .Values.priorityClassName | default (printf "%s-control-plane" .Release.Namespace) }}
{{- end }}
