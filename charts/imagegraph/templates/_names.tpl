{{/* Name of the engine and the graph, and what the names of all objects begin with. */}}
{{- define "imagegraph.fullname" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "release '%s': Kubernetes wants names of Services to begin with a letter and to hold letters, digits and '-' alone; choose another name, or set fullnameOverride" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{/*
Name of an object: the full name and the rest. What is longer than the room (63, unless given) is cut, and ends
with a hash of all of it. Takes root, rest and room.
*/}}
{{- define "imagegraph.object" -}}
{{- $name := printf "%s-%s" (include "imagegraph.fullname" .root) .rest }}
{{- $room := .room | default 63 | int }}
{{- if gt (len $name) $room }}
{{- $name = printf "%s-%s" (trunc (int (sub $room 9)) $name | trimAll "-") (sha256sum $name | trunc 8) }}
{{- end }}
{{- $name }}
{{- end }}

{{/* Name of a predictor's InferenceGraph, and of its Service; takes root and predictor (its name). */}}
{{- define "imagegraph.inferenceGraph" -}}
{{- /* KServe labels its pods `isvc.NAME`. */}}
{{- include "imagegraph.object" (dict "root" .root "rest" .predictor "room" 58) }}
{{- end }}

{{/* Name of the Service of a predictor's executor, and its label; takes root and predictor (its name). */}}
{{- define "imagegraph.executor" -}}
{{- $name := printf "%s-%s" (include "imagegraph.fullname" .root) .predictor }}
{{- if gt (len $name) 63 }}
{{- fail (printf "predictors.%s: Seldon names its Service '%s', of %d characters, and Kubernetes takes 63; shorten it, or set fullnameOverride" .predictor $name (len $name)) }}
{{- end }}
{{- $name }}
{{- end }}

{{/* Name of the ServiceAccount of all pods. */}}
{{- define "imagegraph.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "imagegraph.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Labels that never change; selectors use them. */}}
{{- define "imagegraph.selector" -}}
app.kubernetes.io/name: imagegraph
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels of every object, besides those of a selector. */}}
{{- define "imagegraph.labels" -}}
{{- $own := dict "app.kubernetes.io/part-of" .Release.Name "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_") }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63) }}
{{- include "imagegraph.merge" (dict "base" $own "over" .Values.commonLabels) | fromJson | toYaml }}
{{- end }}

{{/* Labels of a node's pods; takes root, predictor and node. */}}
{{- define "imagegraph.nodeSelector" -}}
{{ include "imagegraph.selector" .root }}
app.kubernetes.io/component: node
imagegraph/predictor: {{ .predictor.name | quote }}
imagegraph/node: {{ .node.name | quote }}
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

{{/* Reference of an image; takes image and root. */}}
{{- define "imagegraph.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default (.root.Chart.AppVersion | replace "+" "_") }}
{{- end }}
{{- end }}

{{/* Claim that holds the weights of a pool; takes root and pool (its name). */}}
{{- define "imagegraph.claim" -}}
{{- $cache := .root.Values.cache -}}
{{- if eq $cache.volume "existing" }}{{ $cache.claim }}
{{- else if eq $cache.volume "perPool" }}{{ include "imagegraph.fullname" .root }}-models-{{ .pool }}
{{- else }}{{ include "imagegraph.fullname" .root }}-models
{{- end }}
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

{{/* Service that clients ask, as JSON: name, port, and the path that answers. */}}
{{- define "imagegraph.front" -}}
{{- $plan := include "imagegraph.plan" . | fromJson }}
{{- $fullname := include "imagegraph.fullname" . }}
{{- if $plan.engine -}}
{{ dict "name" (printf "%s-engine" $fullname) "port" 8080 "path" (printf "/v2/models/%s/infer" $fullname) | toJson }}
{{- else if eq .Values.platform "kserve" -}}
{{ dict "name" (include "imagegraph.inferenceGraph" (dict "root" . "predictor" "default")) "port" 80 "path" "/" | toJson }}
{{- else -}}
{{ dict "name" (include "imagegraph.executor" (dict "root" . "predictor" "default")) "port" 8000 "path" "/v2/models/infer" | toJson }}
{{- end }}
{{- end }}
