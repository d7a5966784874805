{{/* Labels that never change; selectors use them. */}}
{{- define "imagegraph.selector" -}}
app.kubernetes.io/name: imagegraph
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object, besides those of a selector. */}}
{{- define "imagegraph.labels" -}}
app.kubernetes.io/part-of: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels of a node's pods; takes root, predictor and node. */}}
{{- define "imagegraph.nodeSelector" -}}
{{ include "imagegraph.selector" .root }}
app.kubernetes.io/component: node
imagegraph/predictor: {{ .predictor.name }}
imagegraph/node: {{ .node.name }}
{{- end }}

{{- define "imagegraph.engineSelector" -}}
{{ include "imagegraph.selector" . }}
app.kubernetes.io/component: engine
{{- end }}

{{/* Fails when a name is not among the known ones; takes kind, name and known. */}}
{{- define "imagegraph.known" -}}
{{- if not (has .name .known) }}
{{- fail (printf "%s: unknown name '%s'; known: %s" .kind .name (.known | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}

{{/* Fails when a name is too long for a Service or a label; takes name, room and kind. */}}
{{- define "imagegraph.fits" -}}
{{- if gt (len .name) (int .room) }}
{{- fail (printf "%s: '%s' has %d characters, more than %d; shorten the names of release and predictor" .kind .name (len .name) (int .room)) }}
{{- end }}
{{- end }}

{{/* Reference of an image; takes image and root. */}}
{{- define "imagegraph.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Environment of a container from a map by name. */}}
{{- define "imagegraph.env" -}}
{{- range $name, $value := . -}}
- name: {{ $name }}
  value: {{ $value | quote }}
{{ end }}
{{- end }}

{{/* References to Secrets by name. */}}
{{- define "imagegraph.references" -}}
{{- range . -}}
- name: {{ . }}
{{ end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod, and of a container. */}}
{{- define "imagegraph.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "imagegraph.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Whether every node of a predictor has a pod that is ready, in the cluster; takes root and predictor. */}}
{{- define "imagegraph.answers" -}}
{{- $nodes := 0 }}
{{- $ready := 0 }}
{{- range (lookup "apps/v1" "Deployment" .root.Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (get $labels "app.kubernetes.io/instance") $.root.Release.Name) (eq (get $labels "imagegraph/predictor") $.predictor) }}
{{- $nodes = add1 $nodes }}
{{- if .status.readyReplicas }}{{ $ready = add1 $ready }}{{ end }}
{{- end }}
{{- end }}
{{- and (gt (int $nodes) 0) (eq $nodes $ready) }}
{{- end }}

{{/* Service that clients ask, as JSON: name and port. */}}
{{- define "imagegraph.front" -}}
{{- $plan := include "imagegraph.plan" . | fromJson }}
{{- if $plan.engine -}}
{{ dict "name" (printf "%s-engine" .Release.Name) "port" 8080 | toJson }}
{{- else if eq .Values.platform "kserve" -}}
{{ dict "name" (printf "%s-default" .Release.Name) "port" 80 | toJson }}
{{- else -}}
{{ dict "name" (printf "%s-default" .Release.Name) "port" 8000 | toJson }}
{{- end }}
{{- end }}
