{{/* References of images. */}}

{{- define "mesh.registry" -}}
{{- with .Values.registry.server }}{{ trimSuffix "/" . }}/{{ end }}
{{- end }}

{{/* One of the mesh's own: the root, the field in `images`, the name. */}}
{{- define "mesh.ownImage" -}}
{{- $root := index . 0 -}}
{{- index $root.Values.images (index . 1) | default (printf "%s%s:%s" (include "mesh.registry" $root) (index . 2) ($root.Values.registry.imageTag | default $root.Chart.AppVersion)) }}
{{- end }}

{{/* One of another project: the root, the field in `images`, the public repository, the tag. */}}
{{- define "mesh.publicImage" -}}
{{- $root := index . 0 -}}
{{- $repository := index . 2 -}}
{{- if $root.Values.registry.disablePublicImages -}}
{{- $repository = printf "%s%s" (include "mesh.registry" $root) (base $repository) -}}
{{- end -}}
{{- index $root.Values.images (index . 1) | default (printf "%s:%s" $repository (index . 3)) }}
{{- end }}

{{- define "mesh.image.controller" }}{{ include "mesh.ownImage" (list . "controller" "nginx-mesh-controller") }}{{ end }}
{{- define "mesh.image.sidecar" }}{{ include "mesh.ownImage" (list . "sidecar" "nginx-mesh-sidecar") }}{{ end }}
{{- define "mesh.image.init" }}{{ include "mesh.ownImage" (list . "init" "nginx-mesh-init") }}{{ end }}
{{- define "mesh.image.nats" }}{{ include "mesh.publicImage" (list . "nats" "nats" "2.10.27") }}{{ end }}
{{- define "mesh.image.spireServer" }}{{ include "mesh.publicImage" (list . "spireServer" "ghcr.io/spiffe/spire-server" "1.13.3") }}{{ end }}
{{- define "mesh.image.spireAgent" }}{{ include "mesh.publicImage" (list . "spireAgent" "ghcr.io/spiffe/spire-agent" "1.13.3") }}{{ end }}
{{- define "mesh.image.spireControllerManager" }}{{ include "mesh.publicImage" (list . "spireControllerManager" "ghcr.io/spiffe/spire-controller-manager" "0.6.3") }}{{ end }}
{{- define "mesh.image.spiffeCSIDriver" }}{{ include "mesh.publicImage" (list . "spiffeCSIDriver" "ghcr.io/spiffe/spiffe-csi-driver" "0.2.7") }}{{ end }}
{{- define "mesh.image.csiNodeDriverRegistrar" }}{{ include "mesh.publicImage" (list . "csiNodeDriverRegistrar" "registry.k8s.io/sig-storage/csi-node-driver-registrar" "v2.13.0") }}{{ end }}
{{- define "mesh.image.seLinuxTools" }}{{ include "mesh.publicImage" (list . "seLinuxTools" "registry.access.redhat.com/ubi9/ubi-minimal" "9.6") }}{{ end }}

{{- define "mesh.hasRegistrySecret" -}}
{{- if or .Values.registry.key .Values.registry.username }}yes{{ end }}
{{- end }}
