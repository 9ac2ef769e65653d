{{/* Parts of pods. */}}

{{/* For all pods of the control plane: what the restricted level of Pod Security asks for, as one user. Root and user id. */}}
{{- define "mesh.podSecurityContext" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "mesh.securityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Where and how pods run; the root and the name of the pods' selector. */}}
{{- define "mesh.scheduling" -}}
{{- $root := index . 0 -}}
priorityClassName: {{ include "mesh.priorityClassName" $root }}
{{- include "mesh.pullSecrets" $root }}
nodeSelector:
  {{- mergeOverwrite (dict "kubernetes.io/os" "linux") (deepCopy $root.Values.nodeSelector) | toYaml | nindent 2 }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "mesh.selector" (index . 1) | nindent 14 }}
{{- end }}

{{- define "mesh.pullSecrets" -}}
{{- if include "mesh.hasRegistrySecret" . }}
imagePullSecrets:
  - name: nginx-mesh-registry-key
{{- end }}
{{- end }}

{{/* The folder with the socket of the Workload API. */}}
{{- define "mesh.workloadAPIVolume" -}}
- name: workload-api
  {{- if eq (include "mesh.workloadAPI" .) "csi" }}
  csi:
    driver: csi.spiffe.io
    readOnly: true
  {{- else }}
  hostPath:
    path: /run/spire/sockets
    # the agent may come later
    type: DirectoryOrCreate
  {{- end }}
{{- end }}

{{- define "mesh.workloadAPIMount" -}}
- name: workload-api
  mountPath: /run/spire/sockets
  readOnly: true
{{- end }}

{{/* A busy node takes its time; what has started is looked at less often. */}}
{{- define "mesh.startupProbe" -}}
startupProbe:
  httpGet: { {{ .httpGet }} }
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 180
{{- end }}

{{/* Where the mesh's own programs listen: `auto` is what the addresses of their pod say. */}}
{{- define "mesh.listen" -}}
{{- if kindIs "bool" .Values.ipv6 }}{{ ternary "::" "0.0.0.0" .Values.ipv6 }}{{ else }}auto{{ end }}
{{- end }}
{{- define "mesh.podAddresses" -}}
- name: POD_IPS
  valueFrom:
    fieldRef: { fieldPath: status.podIPs }
{{- end }}

{{/* The same for SPIRE, which is told: IPv4 is enough for its clients wherever it is the first family. */}}
{{- define "mesh.listenSpire" -}}
{{- $first := eq (include "mesh.firstFamily" .) "IPv6" }}
{{- ternary "::" "0.0.0.0" (ternary .Values.ipv6 $first (kindIs "bool" .Values.ipv6)) }}
{{- end }}
